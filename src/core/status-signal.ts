// Keeps `since` honest: it moves only when health or the problem's code changes, not with each new summary.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import type { Health, Problem, Status } from '../api/status.ts'
import { type Clock, systemClock } from './clock.ts'

export interface StatusSignal {
  readonly signal: ReadonlySignal<Status>
  set(health: Health, summary: string, problem?: Problem): void
}

export function createStatus(summary: string, clock: Clock = systemClock): StatusSignal {
  const state = signal<Status>({ health: 'starting', summary, since: new Date(clock.wall()) })
  return {
    signal: state,
    set(health, next, problem) {
      const old = state.peek()
      const same = old.health === health && old.problem?.code === problem?.code
      if (same && old.summary === next && old.problem?.evidence === problem?.evidence) return
      state.value = {
        health,
        summary: next,
        since: same ? old.since : new Date(clock.wall()),
        ...(problem && { problem }),
      }
    },
  }
}
