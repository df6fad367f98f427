// Clients that leave in mid-stream, and an engine in this process that knows when it was told.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { eventually } from '../support/eventually.ts'
import type { BenchContext } from './row.ts'

export type Told = {
  readonly port: number
  /** Answers that stream now. */
  readonly open: Set<ServerResponse>
}

const clients = 50

/** An engine of endless streams, 20 ms apart. */
export function startTold(context: BenchContext): Promise<Told> {
  return context.once('engine that is told', async () => {
    const open = new Set<ServerResponse>()
    const server = createServer((_, response) => {
      open.add(response)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => response.write(`data: ${'x'.repeat(150)}\n\n`), 20)
      response.once('close', () => {
        clearInterval(timer)
        open.delete(response)
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    context.after(() => {
      server.closeAllConnections()
      server.close()
    })
    return { port: (server.address() as AddressInfo).port, open }
  })
}

/** @returns ms from the moment in which all clients leave until the engine was told of the last */
export async function leave({ open }: Told, proxy: number): Promise<number> {
  const sockets = Array.from({ length: clients }, () => {
    const socket = connect(proxy, '127.0.0.1', () =>
      socket.write('POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'),
    )
    return socket
  })
  const begun = sockets.map((socket) => once(socket, 'data'))
  await Promise.all(begun)
  await eventually('all stream', () => open.size === clients)
  const began = performance.now()
  for (const socket of sockets) socket.destroy()
  while (open.size > 0) {
    if (performance.now() - began > 10_000) throw new Error(`${open.size} answers go on for nobody`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return performance.now() - began
}
