// The only file that uses effect(): a throwing effect would throw into whoever assigned the signal, so each is caught here.
import { effect, type ReadonlySignal, untracked } from '@preact/signals-core'
import { onAbort } from './abort.ts'

/**
 * Calls `see` with the present value and with each later one until `abort`. A throw in `see` goes to `onBug` (default:
 * an uncaught exception on the next turn, which ends the process for systemd to restart), never to the writer.
 */
export function watch<T>(
  state: ReadonlySignal<T>,
  see: (value: T) => void,
  abort: AbortSignal,
  onBug: (error: unknown) => void = throwLater,
): void {
  if (abort.aborted) return
  const dispose = effect(() => {
    const value = state.value
    try {
      untracked(() => see(value))
    } catch (error) {
      onBug(error)
    }
  })
  onAbort(abort, dispose)
}

/**
 * Waits until `wanted` holds and returns that value.
 * @throws the abort's reason when `abort` comes first; every caller brings a bound through it.
 */
export function until<T, S extends T>(
  state: ReadonlySignal<T>,
  wanted: (value: T) => value is S,
  abort: AbortSignal,
): Promise<S>
export function until<T>(state: ReadonlySignal<T>, wanted: (value: T) => boolean, abort: AbortSignal): Promise<T>
export function until<T>(state: ReadonlySignal<T>, wanted: (value: T) => boolean, abort: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (abort.aborted) return reject(abort.reason as Error)
    const done = new AbortController()
    const forget = onAbort(abort, () => {
      done.abort()
      reject(abort.reason as Error)
    })
    const see = (value: T) => {
      if (!wanted(value)) return
      forget()
      // effect() may still be running its first pass: dispose after it returned.
      queueMicrotask(() => done.abort())
      resolve(value)
    }
    watch(state, see, done.signal, (error) => {
      forget()
      queueMicrotask(() => done.abort())
      reject(error as Error)
    })
  })
}

function throwLater(error: unknown): void {
  setImmediate(() => {
    throw error
  })
}
