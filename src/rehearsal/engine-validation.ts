// The verdict over somebody else's artifacts: how many differ, and how likely that is for an honest node.
import type { Artifact } from './engine-callbacks.ts'
import { judgeDistance } from './engine-vectors.ts'

export type StatTest = { dist_threshold: number; p_mismatch: number; fraud_threshold: number }
export type Verdict = {
  n_total: number
  n_mismatch: number
  mismatch_nonces: number[]
  p_value: number
  fraud_detected: boolean
}

export function judgeValidation(ours: readonly Artifact[], theirs: readonly Artifact[], stat: StatTest): Verdict {
  const told = new Map(theirs.map(({ nonce, vector_b64 }) => [nonce, vector_b64]))
  const mismatches = ours
    .filter(({ nonce, vector_b64 }) => !(judgeDistance(vector_b64, told.get(nonce) ?? '') <= stat.dist_threshold))
    .map(({ nonce }) => nonce)
  const p = judgeTail(ours.length, mismatches.length, stat.p_mismatch)
  return {
    n_total: ours.length,
    n_mismatch: mismatches.length,
    mismatch_nonces: mismatches,
    p_value: p,
    fraud_detected: p < stat.fraud_threshold,
  }
}

/** P(X >= k) for X ~ Binomial(n, p). */
function judgeTail(n: number, k: number, p: number): number {
  let below = 0
  let term = (1 - p) ** n
  for (let i = 0; i < k; i += 1) {
    below += term
    term *= ((n - i) / (i + 1)) * (p / (1 - p))
  }
  return Math.min(1, Math.max(0, 1 - below))
}
