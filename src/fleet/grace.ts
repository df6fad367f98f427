// How long what was stopped stays loaded (D5).
import type { Clock } from '../core/clock.ts'

/** `at`: wall ms of the stop; `until`: monotonic ms. */
export type Grace = { at: number; until: number }

/** While no daemon was there nobody heard the broker's `up`: it gets the time to say it again (it looks every 30 s to 60 s). */
const graceAnew = 20_000

export function toGrace(at: number, grace: number, clock: Clock): Grace {
  const left = Math.max(at + grace - clock.wall(), graceAnew)
  return { at, until: clock.now() + Math.min(grace, left) }
}
