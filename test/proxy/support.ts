// An engine of plain node:http, a proxy in front of it on a listener of its own, and raw sockets to talk to it.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { signal, type Signal } from '@preact/signals-core'
import { onTestFinished } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { createInferenceApp } from '../../src/proxy/inference-app.ts'
import { createProxy, type ProxyLimits } from '../../src/proxy/proxy.ts'

export async function startEngine(answer: RequestListener, slot = 0): Promise<{ upstream: Upstream; server: Server }> {
  const server = createServer(answer)
  const port = await listen(server)
  return { server, upstream: createUpstream(port, slot) }
}

export function createUpstream(port: number, slot = 0): Upstream {
  return new Upstream({ id: `engine-${slot}`, slot, port, model: 'tiny', hasPoc: true, state: 'serving' })
}

export type Front = { port: number; url: string; upstreams: Signal<readonly Upstream[]> }

/** The inference application before `all`. */
export const startFront = (...all: Upstream[]): Promise<Front> => startFrontWith({}, ...all)

/** @param limits ms, of the proxy */
export async function startFrontWith(limits: Partial<ProxyLimits>, ...all: Upstream[]): Promise<Front> {
  const upstreams = signal<readonly Upstream[]>(all)
  const proxy = createProxy({ upstreams, log: silentLog, limits })
  const server = createHttpServer(createInferenceApp({ upstreams, proxy: proxy.handle }))
  const port = await listen(server)
  onTestFinished(() => proxy.end())
  return { port, url: `http://127.0.0.1:${port}`, upstreams }
}

export function listen(server: Server): Promise<number> {
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

/** A raw connection: writes `text`, collects what comes. */
export function rawConnect(port: number, text: string): { socket: Socket; got: () => string; closed: Promise<string> } {
  const parts: Buffer[] = []
  const socket = connect(port, '127.0.0.1', () => socket.write(text))
  const got = () => Buffer.concat(parts).toString('latin1')
  socket.on('data', (part: Buffer) => parts.push(part))
  const closed = new Promise<string>((resolve) => {
    socket.on('error', (error) => resolve(`error ${error.message}`))
    socket.on('close', () => resolve(got()))
  })
  onTestFinished(() => void socket.destroy())
  return { socket, got, closed }
}

export async function readAll(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of request.setEncoding('utf8')) text += part as string
  return text
}

export function sendText(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(text) }).end(text)
}
