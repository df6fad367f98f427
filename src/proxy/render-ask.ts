// A client's request as an engine gets it. Pure.
import type { IncomingMessage } from 'node:http'
import type { EngineAsk } from './engine-connection.ts'
import { toEngineHead } from './headers.ts'
import type { RequestBody } from './request-body.ts'

/** Those that have a body by their nature say so also where it is empty. */
const withBody = new Set(['POST', 'PUT', 'PATCH'])

/** @param to.port of the engine, for clients that name no host (HTTP/1.0) */
export function renderAsk(
  request: Pick<IncomingMessage, 'method' | 'rawHeaders'>,
  path: string,
  to: { body: RequestBody; port: number },
): EngineAsk {
  const { body, port } = to
  const method = request.method ?? 'GET'
  const isWhole = Buffer.isBuffer(body)
  const { lines, hasHost, hasLength } = toEngineHead(request.rawHeaders, isWhole)
  const host = hasHost ? '' : `host: 127.0.0.1:${port}\r\n`
  const framing = renderFraming(method, body, hasLength)
  const head = `${method} ${path} HTTP/1.1\r\n${host}${lines}${framing}\r\n`
  if (body === undefined || isWhole) return { method, head, ...(body && { body }) }
  return { method, head, body: { parts: body, framed: !hasLength } }
}

function renderFraming(method: string, body: RequestBody, hasLength: boolean): string {
  if (Buffer.isBuffer(body)) return `content-length: ${body.length}\r\n`
  if (hasLength) return ''
  if (body !== undefined) return 'transfer-encoding: chunked\r\n'
  return withBody.has(method) ? 'content-length: 0\r\n' : ''
}
