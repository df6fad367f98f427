// Request bodies that stop coming, or come byte by byte: a client that keeps its connection open holds a place that others need.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJsonBody } from './send.ts'

export function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  return encoding !== undefined || (length !== undefined && length !== '0')
}

/** Looks within the limit: who is idle is cut off at most a quarter of it late. */
const looks = 4

/**
 * Closes the connection of a client that sends nothing for `idleMs` in mid-body, or does what `cut` says instead. One whose bytes
 * wait for us is not idle: an engine may take its time with the body.
 */
export function cutIdleBody(
  request: IncomingMessage,
  idleMs: number,
  cut: () => void = () => void request.socket.destroy(),
): void {
  const { socket } = request
  const seen = { bytes: socket.bytesRead, still: 0 }
  // Not the socket's own timeout: Node's server closes the connection then, whatever it waits for.
  const look = () => {
    const { bytesRead } = socket
    const isStill = bytesRead === seen.bytes && request.readableLength === 0 && !request.complete
    seen.still = isStill ? seen.still + 1 : 0
    seen.bytes = bytesRead
    if (seen.still < looks) return
    over()
    cut()
  }
  const timer = setInterval(look, idleMs / looks).unref()
  const over = () => clearInterval(timer)
  request.once('end', over)
  request.once('close', over)
}

/** Bytes per ms that a client behind a slow tunnel manages: 64 MiB, the longest body that is read, take it 4 min. */
export const slowestRate = 256

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
