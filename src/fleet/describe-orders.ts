// How orders are answered, in words: how far a start is, and why an order is refused. Pure.
import type { Problem } from '../api/status.ts'
import { Refusal } from '../core/errors.ts'
import type { UpStatus } from './orders.ts'
import type { Progress } from './plan.ts'
import type { Ask } from './wish.ts'

export function describeUp(progress: Progress | 'cancelled' | 'stopped', elapsed: () => number): UpStatus {
  const still = { isStarting: false, isRunning: false }
  if (progress === 'cancelled') return { status: 'cancelled', ...still }
  if (progress === 'stopped' || progress.kind === 'nothing') return { status: 'not_started', ...still }
  if (progress.kind === 'serving') return { status: 'completed', isStarting: false, isRunning: true }
  if (progress.kind === 'failed') return { status: 'failed', ...still, error: describeProblem(progress.problem) }
  return {
    status: 'in_progress',
    isStarting: true,
    isRunning: false,
    // Counts on while it is read.
    get elapsedSeconds() {
      return elapsed()
    },
  }
}

export function describeProblem(problem: Problem): string {
  return `${problem.title}: ${problem.evidence} (${problem.code}); ${problem.remedy}`
}

export function refuseFailed(problem: Problem): Refusal {
  return new Refusal('engine-failed', 500, describeProblem(problem), { remedy: problem.remedy })
}

export function refuseImpossible(ask: Ask, problem: Problem): Refusal {
  const message = `cannot run ${ask.model}: ${problem.title}: ${problem.evidence}`
  return new Refusal('impossible-order', 400, message, { remedy: problem.remedy })
}

export function refuseBusy(ask: Ask, current: Ask): Refusal {
  const what = ask.model === current.model ? `${current.model} with other arguments` : current.model
  return new Refusal('startup-in-progress', 409, `cannot start ${ask.model}: ${what} is starting`, {
    remedy: 'poll /api/v1/inference/up/status, or stop it first',
  })
}

/** 409: what a broker may try again; it names nothing that would help it to get round. */
export function refuseHalted(ask: Ask): Refusal {
  return new Refusal('node-stopped-by-operator', 409, `cannot start ${ask.model}: the operator has stopped this node`, {
    remedy: 'the operator starts it again with `gonka-node launch --node`',
  })
}

export function refuseCancelled(ask?: Ask, by = 'a stop'): Refusal {
  return new Refusal('startup-cancelled', 503, `start${ask ? ` of ${ask.model}` : ''} cancelled: ${by} came after it`)
}

export function refuseMissing(ask: Ask, problem: Problem): Refusal {
  const message = `cannot run ${ask.model}: ${describeProblem(problem)}`
  return new Refusal('ordered-model-missing', 500, message, { remedy: problem.remedy })
}

export function describeOther(
  ask: Ask,
  current: Ask,
  differences: (one: Ask, other: Ask) => readonly string[],
): string {
  if (ask.model !== current.model) return `${ask.model} was ordered while ${current.model} runs`
  const found = differences(ask, current)
  return `${ask.model} was ordered with ${found.length > 0 ? found.join(', ') : 'other arguments'}, while it runs`
}
