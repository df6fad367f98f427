// How long a call's work may go on: until the client leaves or its deadline passes. Then everything it runs ends at once.
import { setMaxListeners } from 'node:events'
import { CallError } from './call-error.ts'
import { at } from './engine-answer.ts'

/** The part of grpc-js's server calls that we use. */
export type ServerCall = {
  readonly cancelled: boolean
  on(event: 'cancelled', then: () => void): unknown
  getDeadline(): Date | number
}

export interface CallScope extends Disposable {
  readonly abort: AbortController
}

/** setTimeout's own bound. */
const longestTimer = 2 ** 31 - 1

/**
 * grpc-js tells the client about the deadline; but to a client that does not read it cannot, and then never tells us
 * either: the deadline is watched here as well.
 */
export function openScope(call: ServerCall): CallScope {
  const abort = new AbortController()
  // One listener per prompt in flight is no leak.
  setMaxListeners(0, abort.signal)
  const state = { over: false }
  const leave = (): void => {
    // Every call is 'cancelled' at its end, however it ended.
    if (!state.over) abort.abort(new CallError('CANCELLED', 'the client left'))
  }
  // In the words of grpc-js, whose own timer may be a moment later.
  const expire = (): void => abort.abort(new CallError('DEADLINE_EXCEEDED', 'Deadline exceeded'))
  call.on('cancelled', leave)
  if (call.cancelled) leave()
  const left = Number(call.getDeadline()) - Date.now()
  const timer = Number.isFinite(left) ? setTimeout(expire, Math.min(Math.max(left, 0), longestTimer)) : undefined
  return {
    abort,
    [Symbol.dispose]() {
      state.over = true
      clearTimeout(timer)
    },
  }
}

type Closable = { close(code: number): void }

/** The innermost layer of a call of grpc-js, which it keeps to itself. */
export function innermostOf(call: unknown): unknown {
  const next = at(call, 'nextCall')
  return next === undefined ? call : innermostOf(next)
}

/** Its stream of HTTP/2; `undefined` where a new version of grpc-js has another shape. */
export function streamOf(call: ServerCall): Closable | undefined {
  const stream = at(innermostOf(at(call, 'call')), 'stream')
  return typeof at(stream, 'close') === 'function' ? (stream as Closable) : undefined
}
