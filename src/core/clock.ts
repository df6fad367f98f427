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

/** ms between two moments at which shared waits end: of the longest kind that is at most a third of the wait. */
const sharedSteps = [1000, 500, 250] as const

/**
 * As `clock.wait`, for what recurs and is not waited for to the millisecond: ends up to a third later (1 s at most) or a twentieth
 * earlier, at a moment that all such waits of this process share. Waking is what an idle process pays for: ten timers a second that
 * fire one by one cost six times as much as ten that fire together.
 */
export function waitTogether(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return clock.wait(toShared(clock.now(), ms), signal)
}

/**
 * Pure: from `now` to the first shared moment that is `ms` away; `ms` itself where it is short. A twentieth counts as nothing, so that
 * what takes a moment and recurs keeps its pace.
 */
export function toShared(now: number, ms: number): number {
  const step = sharedSteps.find((one) => ms >= 3 * one)
  return step === undefined ? ms : Math.ceil(Math.ceil((now + ms * 0.95) / step) * step - now)
}
