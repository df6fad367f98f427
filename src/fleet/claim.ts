// Which GPUs the node's own model keeps from launches. Pure.
import type { Wanted } from './decide.ts'
import type { EnginePlan } from './plan.ts'
import type { Effective } from './wish.ts'

/** all: it is not known yet which ones it will need. */
export type Claim = readonly number[] | 'all'

/**
 * As long as it wants to run, and while the broker has stopped it: such an order is no permission to launch something else
 * there. What the operator has stopped is free.
 * @param standing the plans that were made last
 */
export function judgeClaim(effective: Effective, wanted: Wanted | undefined, standing?: readonly EnginePlan[]): Claim {
  if (effective.kind === 'nothing' || (effective.kind === 'stopped' && effective.by === 'operator')) return []
  if (wanted?.mode !== 'run') return standing ? toGpus(standing) : 'all'
  const { resolved } = wanted
  if (resolved.kind === 'impossible') return []
  if (resolved.kind === 'planned') return toGpus(resolved.plans)
  return standing ? toGpus(standing) : 'all'
}

const toGpus = (plans: readonly EnginePlan[]): number[] => [...new Set(plans.flatMap((plan) => plan.gpus))]
