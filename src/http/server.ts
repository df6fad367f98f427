// The HTTP server of a listener: limits that keep slow, garbled and too many clients from hurting the others.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from '../core/node-http.ts'
import type { Socket } from 'node:net'
import type { ReadonlySignal } from '@preact/signals-core'
import { codeOf } from '../core/errors.ts'
import { watch } from '../core/watch.ts'
import type { TlsMaterial } from './tls-files.ts'

export type OnRequest = (request: IncomingMessage, response: ServerResponse) => void

const limits = {
  /** A client has so long for its headers, ms: 1,000 slow ones are gone after that. */
  headersTimeout: 20_000,
  /** A whole request may take for ever (a 2 GB body through a tunnel); idle bodies are the proxy's business. */
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  /** Longer than load balancers and Go clients keep theirs (60 to 90 s is usual), so that they close first. */
  keepAliveTimeout: 95_000,
  /** 64 KiB: long bearer tokens and cookies pass, floods do not. */
  maxHeaderSize: 65_536,
  noDelay: true,
  keepAlive: true,
}

/** Far above what an API node opens; leaves descriptors for engines and files. */
const maxConnections = 8192

export function createHttpServer(onRequest: OnRequest): Server {
  return withBounds(createServer(limits, onRequest))
}

/** ms; who has not finished its handshake by then is gone. */
const handshakeTimeout = 10_000

/** HTTP/1.1 over TLS 1.2 or newer, with the certificate of the moment; connections that are open keep theirs. */
export function createTlsServer(
  onRequest: OnRequest,
  material: ReadonlySignal<TlsMaterial | undefined>,
  abort: AbortSignal,
): Server {
  const { createServer: createSecureServer } = process.getBuiltinModule('node:https')
  const server = createSecureServer({ ...limits, minVersion: 'TLSv1.2', handshakeTimeout }, onRequest)
  watch(
    material,
    (found) => {
      if (found) server.setSecureContext({ ...found, minVersion: 'TLSv1.2' })
    },
    abort,
  )
  return withBounds(server)
}

function withBounds(server: Server): Server {
  server.maxConnections = maxConnections
  server.on('clientError', answerGarbage)
  return server
}

const statusOf: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** Whatever the parser could not read: one short answer, and the connection ends. Never in the middle of another answer. */
function answerGarbage(error: Error, socket: Socket): void {
  // As Node itself tells it: the answer that the socket carries now.
  const current = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage
  if (codeOf(error) === 'ECONNRESET' || !socket.writable || current?.headersSent) return void socket.destroy()
  const status = statusOf[codeOf(error) ?? ''] ?? '400 Bad Request'
  const body = JSON.stringify({ detail: status.slice(4) })
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close`
  socket.end(`${head}\r\n\r\n${body}`)
  // A client that never reads nor closes is not waited for.
  socket.setTimeout(1000, () => socket.destroy())
}
