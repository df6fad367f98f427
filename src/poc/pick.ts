// Which engine answers a `generate`, and what all engines' statuses mean together. Pure.
import type { PocBackendStatus, PocStatusAnswer } from '../api/mlnode-poc.ts'
import type { Upstream } from '../engine/upstream.ts'

export type Candidate = { upstream: Upstream; mining: boolean }

/** Engines that do not mine first, then the least busy; equals take turns. Undefined without candidates. */
export function pickEngine(candidates: readonly Candidate[], turn: number): Upstream | undefined {
  const free = candidates.filter((one) => !one.mining)
  const pool = free.length > 0 ? free : candidates
  const least = Math.min(...pool.map((one) => one.upstream.inFlight))
  const equals = pool.filter((one) => one.upstream.inFlight === least)
  return equals[turn % Math.max(1, equals.length)]?.upstream
}

/** node-api.md 1.6. */
export function judgeStatuses(backends: readonly PocBackendStatus[]): PocStatusAnswer['status'] {
  if (backends.length === 0) return 'NO_BACKENDS'
  const all = (status: string) => backends.every((one) => one.status === status)
  if (all('GENERATING')) return 'GENERATING'
  if (all('VALIDATING')) return 'VALIDATING'
  return all('IDLE') ? 'IDLE' : 'MIXED'
}
