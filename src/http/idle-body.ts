// Request bodies that stop coming: a client that keeps its connection open and sends nothing holds a place that others need.
import type { IncomingMessage } from 'node:http'

export function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  return encoding !== undefined || (length !== undefined && length !== '0')
}

/** Closes the connection of a client that sends nothing for `idleMs` in mid-body, while we would read. */
export function cutIdleBody(request: IncomingMessage, idleMs: number): void {
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
