// Whether and when an engine that ended unasked is started again. Facts in, verdict out; the loop in start-fleet obeys.
import type { Problem } from '../api/status.ts'
import { type BackoffPolicy, judgeBackoff } from '../core/backoff.ts'
import type { Retry } from '../engine/signature.ts'
import { fleetProblem } from './problems.ts'

export type Failure = {
  /** Monotonic ms when the life was gone. */
  at: number
  /** How long it served, ms; 0 where it never did. */
  servedFor: number
  /**
   * never: pointless until configuration, files or order change. host: the world must change, so it is tried slowly.
   * soon: nothing was started, which is tried again every few seconds and counts towards no crash loop.
   */
  retry: Retry
  problem: Problem
  /** Wall ms of `at`, for people. */
  wall?: number
  /** 0..1, drawn once, so that the verdict is the same each time it is asked for. */
  random: number
}

export type RestartVerdict =
  | { kind: 'now' }
  | { kind: 'backing-off'; until: number; problem: Problem }
  /** Absent `until`: not tried again by itself. */
  | { kind: 'given-up'; until?: number; problem: Problem }

export type RestartPolicy = {
  backoff: BackoffPolicy
  /** So many failures with no stable run between them are a crash loop. */
  loopCount: number
  /** How often what was given up is tried all the same, ms. */
  slow: number
  /** The first wait for what the machine must cure, ms; it grows up to `slow`. */
  host: number
  /** The longest wait for a start that came to nothing, ms. */
  soon: number
}

export const restartPolicy: RestartPolicy = {
  backoff: { first: 500, factor: 2, cap: 60_000, jitter: 0.25, stable: 600_000 },
  loopCount: 5,
  slow: 600_000,
  host: 60_000,
  soon: 5000,
}

/** Failures of one slot, oldest first, since the plan, its files or an order changed. */
export function judgeRestart(failures: readonly Failure[], now: number, policy = restartPolicy): RestartVerdict {
  const counted = pickCounted(failures, policy)
  const last = counted.at(-1)
  if (!last) return { kind: 'now' }
  // What has served can be started: its log then holds some other trouble, perhaps of a request.
  if (last.retry === 'never' && last.servedFor === 0) return { kind: 'given-up', problem: last.problem }
  if (last.retry === 'soon') {
    const tries = counted.length - 1 - counted.findLastIndex((one) => one.retry !== 'soon')
    const until = last.at + judgeBackoff({ ...policy.backoff, cap: policy.soon }, tries, last.random)
    return until <= now ? { kind: 'now' } : { kind: 'backing-off', until, problem: last.problem }
  }
  const crashes = counted.filter((one) => one.retry !== 'soon')
  const loops = crashes.length >= policy.loopCount
  if (last.retry === 'host' || loops) {
    const first = loops ? policy.slow : policy.host
    const wait = judgeBackoff({ ...policy.backoff, first, cap: policy.slow }, crashes.length, last.random)
    const until = last.at + wait
    if (until <= now) return { kind: 'now' }
    return { kind: 'given-up', until, problem: withNextTry(loops ? describeLoop(crashes) : last.problem, last, wait) }
  }
  const until = last.at + judgeBackoff(policy.backoff, crashes.length, last.random)
  return until <= now ? { kind: 'now' } : { kind: 'backing-off', until, problem: last.problem }
}

/** Whoever reads that it is given up reads when it is tried again; the same text each time it is asked for. */
function withNextTry(problem: Problem, { wall }: Failure, wait: number): Problem {
  if (wall === undefined) return problem
  const at = new Date(wall + wait).toISOString().slice(11, 19)
  return { ...problem, evidence: `${problem.evidence}; tried again at ${at} UTC` }
}

/** A stable run forgets what was before it; the list stays short whatever happens. */
export function recordFailure(failures: readonly Failure[], next: Failure, policy = restartPolicy): Failure[] {
  // Hours of a full disk must not push out what crashed before.
  const isKept = ({ retry }: Failure, at: number) => retry !== 'soon' || at >= failures.length - 4
  return pickCounted([...failures.filter(isKept), next], policy).slice(-32)
}

function pickCounted(failures: readonly Failure[], policy: RestartPolicy): readonly Failure[] {
  const stable = failures.findLastIndex((one) => one.servedFor >= policy.backoff.stable)
  return stable < 0 ? failures : failures.slice(stable)
}

function describeLoop(counted: readonly Failure[]): Problem {
  const last = counted.at(-1)?.problem
  const cause = last ? `${last.title}: ${last.evidence}` : 'unknown'
  const problem = fleetProblem(
    'engine-crash-loop',
    `${counted.length} failures and no stable run between them; the last: ${cause}`,
  )
  return last ? { ...problem, remedy: `${last.remedy}; ${problem.remedy}` } : problem
}
