// The client's body on its way to an engine: none, small and whole, or streamed. At most 64 KiB of it are ever held here.
import type { IncomingMessage } from 'node:http'
import { cutIdleBody, hasBody } from '../http/idle-body.ts'

/** undefined: the request has none. */
export type RequestBody = Buffer | AsyncIterable<Buffer> | undefined

/** JSON bodies of usual size go in one write with the head. */
export const smallBody = 65_536
/** A client that stops sending in mid-body for so long is cut off. */
const idleMs = 120_000

/** Calls `then` with the body, at once where it is streamed. Never calls it when the client leaves first. */
export function takeBody(request: IncomingMessage, then: (body: RequestBody) => void): void {
  if (!hasBody(request)) return then(undefined)
  cutIdleBody(request, idleMs)
  const length = Number(request.headers['content-length'])
  if (!(length <= smallBody)) return then(streamBody(request))
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.once('end', () => then(parts.length === 1 ? parts[0] : Buffer.concat(parts)))
}

/** Untouched until the engine takes it, so a try that failed before can be repeated; never destroys the client's socket. */
function streamBody(request: IncomingMessage): AsyncIterable<Buffer> {
  return { [Symbol.asyncIterator]: () => request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer> }
}
