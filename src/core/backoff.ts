// How long to wait before trying again: exponential, capped, with jitter, forgetting failures after a stable run.

export type BackoffPolicy = {
  /** First wait, ms. */
  first: number
  factor: number
  /** Longest wait, ms. */
  cap: number
  /** 0..1: each wait is spread over [wait·(1-jitter), wait·(1+jitter)]. */
  jitter: number
  /** A run at least this long (ms) forgets all earlier failures. */
  stable: number
}

export const defaultBackoff: BackoffPolicy = { first: 500, factor: 2, cap: 30_000, jitter: 0.25, stable: 60_000 }

/** The wait in ms after `failures` failures in a row (1 = first failure). Pure: `random` is 0..1. */
export function judgeBackoff(policy: BackoffPolicy, failures: number, random: number): number {
  const bare = Math.min(policy.cap, policy.first * policy.factor ** Math.max(0, failures - 1))
  return Math.round(bare * (1 + policy.jitter * (2 * random - 1)))
}
