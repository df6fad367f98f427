// Request bodies that stop coming, or come byte by byte: a client that keeps its connection open holds a place that others need.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJsonBody } from './send.ts'

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

/** Bytes per ms that a client behind a slow tunnel manages: 64 MiB, the longest body that is read, take it 4 min. */
const slowestRate = 256

/**
 * For bodies that we read ourselves: 408 and the end of the connection where one is not whole after `baseMs`, and after what its
 * declared length takes at the slowest rate. A body that is passed on may take for ever.
 */
export function limitBody(request: IncomingMessage, response: ServerResponse, baseMs: number): void {
  const declared = Number(request.headers['content-length'] ?? 0)
  const late = setTimeout(
    () => {
      sendJsonBody(response, 408, { detail: 'Request Timeout' }, { connection: 'close' })
      // Also where the answer did not wait for the body.
      request.socket.destroySoon()
    },
    baseMs + declared / slowestRate,
  ).unref()
  const over = () => clearTimeout(late)
  request.once('end', over)
  request.once('close', over)
}
