// The client's body on its way to an engine: none, small and whole, or streamed. At most 64 KiB of it are ever held here.
import type { IncomingMessage } from 'node:http'

/** undefined: the request has none. */
export type RequestBody = Buffer | AsyncIterable<Buffer> | undefined

/** JSON bodies of usual size go in one write with the head. */
const smallBody = 65_536
/** A client that stops sending in mid-body for so long is cut off. */
const idleMs = 120_000

export function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  return encoding !== undefined || (length !== undefined && length !== '0')
}

/** Calls `then` with the body, at once where it is streamed. Never calls it when the client leaves first. */
export function takeBody(request: IncomingMessage, then: (body: RequestBody) => void): void {
  if (!hasBody(request)) return then(undefined)
  watchIdle(request)
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

function watchIdle(request: IncomingMessage): void {
  const { socket } = request
  const cut = () => {
    // Not idle but waiting for us: an engine that takes its time with the body.
    if (!request.complete && request.readableFlowing !== false && request.readableLength === 0) socket.destroy()
  }
  socket.setTimeout(idleMs, cut)
  request.once('end', () => {
    socket.setTimeout(0)
    socket.removeListener('timeout', cut)
  })
}
