// The client's body on its way to an engine: none, small and whole, or streamed. At most 64 KiB of it are ever held here.
import type { IncomingMessage } from 'node:http'
import { cutIdleBody, hasBody } from '../http/idle-body.ts'

/** undefined: the request has none. */
export type RequestBody = Buffer | AsyncIterable<Buffer> | undefined

/** JSON bodies of usual size go in one write with the head. */
export const smallBody = 65_536

/** For clients that stop sending in mid-body: after how many ms, and what becomes of them. */
export type IdleLimit = { idleMs: number; cut: () => void }

/** Calls `then` with the body, at once where it is streamed. Never calls it when the client leaves or is cut off first. */
export function takeBody(request: IncomingMessage, limit: IdleLimit, then: (body: RequestBody) => void): void {
  if (!hasBody(request)) return then(undefined)
  cutIdleBody(request, limit.idleMs, limit.cut)
  const length = Number(request.headers['content-length'])
  if (!(length <= smallBody)) return then(streamBody(request))
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.once('end', () => then(parts.length === 1 ? parts[0] : Buffer.concat(parts)))
}

/** Untouched until the engine takes it, so a try that failed before can be repeated; never destroys the client's socket. */
function streamBody(request: IncomingMessage): AsyncIterable<Buffer> {
  return {
    [Symbol.asyncIterator]() {
      const parts = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
      return {
        next: () => parts.next(),
        async return() {
          await parts.return?.()
          // Nobody wants the rest: a client that sends all of it before it reads would wait for ever.
          request.resume()
          return { done: true, value: undefined }
        },
      }
    },
  }
}
