// The little HTTP that the rehearsal's listeners need: read a bounded body, answer in the API node's error shape, listen and go away.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Seen = { method: string; path: string; query: URLSearchParams; text: string; contentType: string }
export type Answer = { status: number; body: unknown }

/** An answer as an exception, so that a route reads from top to bottom. */
export class Refused extends Error {
  readonly status: number
  readonly body: unknown
  constructor(status: number, body: unknown) {
    super(String(body))
    this.status = status
    this.body = body
  }
}

export async function readSeen(request: IncomingMessage): Promise<Seen> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > 64 * 1024 * 1024) throw new Refused(413, 'Request Entity Too Large')
    chunks.push(chunk)
  }
  const url = new URL(request.url ?? '/', 'http://rehearsal')
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    text: Buffer.concat(chunks).toString('utf8'),
    contentType: request.headers['content-type'] ?? '',
  }
}

export function sendJson(response: ServerResponse, { status, body }: Answer): void {
  if (response.destroyed || response.headersSent) return
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' })
  response.end(body === undefined ? '' : `${JSON.stringify(body)}\n`)
}

/** Runs a route; whatever it throws becomes `{"error": …}`, as the API node's error middleware does it. */
export async function answerWith(response: ServerResponse, route: () => Promise<Answer>): Promise<number> {
  try {
    const answer = await route()
    sendJson(response, answer)
    return answer.status
  } catch (error) {
    const status = error instanceof Refused ? error.status : 500
    sendJson(response, { status, body: { error: error instanceof Refused ? error.body : String(error) } })
    return status
  }
}

/** A listener that can go away (nothing listens, connections are cut) and come back on the same port. */
export type Listener = { readonly port: number; leave(): Promise<void>; comeBack(): Promise<void> }

export async function startListener(
  at: { host: string; port: number },
  see: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Listener> {
  const server = createServer({ keepAliveTimeout: 5_000 }, see)
  await listen(server, at.host, at.port)
  const { port } = server.address() as AddressInfo
  return {
    port,
    leave: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
    comeBack: async () => {
      if (!server.listening) await listen(server, at.host, port)
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
