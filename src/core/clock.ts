// Wall time for people, monotonic time for waits. Tests bring their own clock; nothing else calls Date.now for a decision.
import { onAbort } from './abort.ts'

export interface Clock {
  /** Wall clock, ms since 1970. May step; never use it to measure. */
  wall(): number
  /** Monotonic ms. */
  now(): number
  /** Resolves after `ms`; resolves early, never throws, when `signal` aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  now: () => performance.now(),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const forget = signal ? onAbort(signal, done) : undefined
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        forget?.()
        resolve()
      }
    }),
}
