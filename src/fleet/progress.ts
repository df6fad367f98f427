// Where the node is with what it should run, and which plan holds while facts come and go. Pure.
import type { Observed, Step, Wanted } from './decide.ts'
import type { EnginePlan, Progress, Resolved } from './plan.ts'
import { toGroup } from './wish.ts'

/** What orders and status are answered from: the group `node` after one pass of decide(). */
export function judgeProgress(
  wanted: Wanted | undefined,
  model: string | undefined,
  observed: readonly Observed[],
  steps: readonly Step[],
): Progress {
  if (!wanted) return { kind: 'nothing' }
  if (wanted.mode === 'parked') return { kind: 'parked' }
  const engines = observed.filter((one) => toGroup(one.plan.owner) === 'node')
  const { resolved } = wanted
  if (resolved.kind === 'planned') return judgePlanned(engines, steps)
  // Nothing can be compared yet: an engine of that name, from before, serves all the same.
  const alive = engines.filter((one) => one.plan.model === model && !one.parked)
  if (alive.some((one) => one.phase === 'serving')) return { kind: 'serving', assumed: true }
  if (resolved.kind === 'waiting' || alive.length > 0) return { kind: 'starting' }
  return { kind: 'failed', problem: resolved.problem }
}

function judgePlanned(engines: readonly Observed[], steps: readonly Step[]): Progress {
  const kept = engines.filter((one) => steps.some((step) => isKept(step) && step.id === one.id))
  if (kept.some((one) => one.phase === 'serving')) return { kind: 'serving' }
  if (kept.length > 0 || steps.some((step) => step.do === 'start' && toGroup(step.plan.owner) === 'node'))
    return { kind: 'starting' }
  const waits = steps.flatMap((step) => (step.do === 'wait' && step.group === 'node' ? [step] : []))
  const failed = waits.find((step) => step.verdict)?.problem
  return failed && waits.every((step) => step.verdict) ? { kind: 'failed', problem: failed } : { kind: 'starting' }
}

/** All that is wanted serves, and nothing is to be done or waited for: the next change comes as an event. */
export function isSettled(wanted: Wanted | undefined, observed: readonly Observed[], steps: readonly Step[]): boolean {
  const isClear = !wanted || (wanted.mode === 'run' && wanted.resolved.kind === 'planned')
  return isClear && steps.every((step) => step.do === 'keep') && observed.every(({ phase }) => phase === 'serving')
}

function isKept(step: Step): step is Extract<Step, { do: 'keep' | 'unpark' }> {
  return step.do === 'keep' || step.do === 'unpark'
}

/**
 * Once engines load, their number and places are fixed (D7): GPUs that vanish or appear, or files that cannot be seen for a
 * while, change nothing for engines that live.
 * @param standing the plan that the living engines were started by, and whether it was made for this very wish
 */
export function pickStanding(
  fresh: Resolved,
  standing: { plans: readonly EnginePlan[]; sameWish: boolean } | undefined,
  observed: readonly Observed[],
  same: (one: EnginePlan, other: EnginePlan) => boolean,
): Resolved {
  if (!standing) return fresh
  const { plans, sameWish } = standing
  const lives = (plan: EnginePlan) =>
    observed.some((one) => one.phase !== 'ending' && one.plan.slot === plan.slot && same(one.plan, plan))
  const held: Resolved = { kind: 'planned', plans, notes: [] }
  if (fresh.kind !== 'planned') return sameWish && plans.every(lives) ? held : fresh
  const [old, next] = [plans[0], fresh.plans[0]]
  if (!old || !next || !same(old, next) || !plans.some(lives)) return fresh
  return isSameShape(plans, fresh.plans) ? fresh : { ...held, notes: fresh.notes }
}

export function isSameShape(one: readonly EnginePlan[], other: readonly EnginePlan[]): boolean {
  return one.length === other.length && one.every((plan, at) => plan.gpus.join() === other[at]?.gpus.join())
}
