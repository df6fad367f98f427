// The only place that starts and ends engines. Pure and level-triggered: it compares what is wanted with what lives, again
// and again; a missed event costs nothing. In doubt engines stay.
import type { Problem } from '../api/status.ts'
import type { GpuHolder } from './leases.ts'
import { toLaunchId } from './launch-record.ts'
import type { EnginePlan, Resolved } from './plan.ts'
import { fleetProblem } from './problems.ts'
import type { RestartVerdict } from './restart-policy.ts'
import { toGroup } from './wish.ts'

/** What one group (`node`, `launch:x`) should be now; a group that is not listed wants nothing. Times are monotonic ms. */
export type Wanted = { group: string } & ({ mode: 'parked'; until: number } | { mode: 'run'; resolved: Resolved })

/** An engine that lives, launched or adopted. `gone` ones are not shown to decide. */
export type Observed = {
  id: string
  phase: 'launching' | 'loading' | 'serving' | 'ending'
  parked: boolean
  /** No process of it is left, and its GPU memory has not come back for longer than that takes. */
  memoryKept?: boolean
  plan: EnginePlan
}

export type Step =
  | { do: 'start'; plan: EnginePlan }
  | { do: 'keep'; id: string }
  | { do: 'park'; id: string; until: number }
  | { do: 'unpark'; id: string }
  | { do: 'stop'; id: string; why: string; drain: boolean }
  /** Its GPU memory is waited for no longer: the next one of its group gets its GPUs, with its lease. */
  | { do: 'let-go'; id: string }
  /** Nothing to do for this slot yet; `until` is when to look again without any event. */
  | {
      do: 'wait'
      group: string
      slot: number
      why: string
      until?: number
      problem?: Problem
      verdict?: RestartVerdict
    }

export type Situation = {
  wanted: readonly Wanted[]
  observed: readonly Observed[]
  gpu: (index: number) => GpuHolder
  /** The group that has reserved it, if any. */
  reserved?: (index: number) => string | undefined
  restart: (plan: EnginePlan) => RestartVerdict
  /** Are these two the same engine? Equivalent arguments, same model, program and environment. */
  same: (one: EnginePlan, other: EnginePlan) => boolean
  now: number
}

export function decide(situation: Situation): Step[] {
  const groups = new Set([
    ...situation.wanted.map((one) => one.group),
    ...situation.observed.map((one) => toGroup(one.plan.owner)),
  ])
  const claimed = new Set<number>()
  return [...groups].flatMap((group) => decideGroup(group, situation, claimed))
}

function decideGroup(group: string, situation: Situation, claimed: Set<number>): Step[] {
  const alive = situation.observed.filter((one) => toGroup(one.plan.owner) === group && one.phase !== 'ending')
  const wanted = situation.wanted.find((one) => one.group === group)
  if (!wanted) return alive.map((one) => toStop(one, 'nothing wants it any more'))
  if (wanted.mode === 'parked')
    return situation.now < wanted.until
      ? alive.map((one) => (one.parked ? toKeep(one) : { do: 'park', id: one.id, until: wanted.until }))
      : alive.map((one) => toStop(one, 'it was ordered to stop, and the grace time is over'))
  if (wanted.resolved.kind !== 'planned') return alive.map(toKeep)
  return decidePlanned(wanted.resolved.plans, alive, situation, claimed)
}

function decidePlanned(
  plans: readonly EnginePlan[],
  alive: readonly Observed[],
  situation: Situation,
  claimed: Set<number>,
): Step[] {
  const matches = pickMatches(plans, alive, situation)
  const kept = new Set([...matches.values()].map((one) => one.id))
  const stops = alive.filter((one) => !kept.has(one.id)).map((one) => toStop(one, 'something else is wanted instead'))
  const others = plans.map((plan): Step => {
    const found = matches.get(plan)
    if (found) return found.parked ? { do: 'unpark', id: found.id } : toKeep(found)
    return decideAbsent(plan, kept, situation, claimed)
  })
  return [...stops, ...others]
}

/** Each plan takes at most one engine, each engine at most one plan; slots decide about PoC groups and must agree. */
function pickMatches(plans: readonly EnginePlan[], alive: readonly Observed[], { same }: Situation) {
  const matches = new Map<EnginePlan, Observed>()
  const taken = new Set<string>()
  for (const plan of plans) {
    const found = alive.find((one) => !taken.has(one.id) && isSamePlace(one.plan, plan) && same(one.plan, plan))
    if (!found) continue
    taken.add(found.id)
    matches.set(plan, found)
  }
  return matches
}

function decideAbsent(plan: EnginePlan, kept: ReadonlySet<string>, situation: Situation, claimed: Set<number>): Step {
  const wait = (why: string, more: { until?: number; problem?: Problem; verdict?: RestartVerdict } = {}): Step => ({
    do: 'wait',
    group: toGroup(plan.owner),
    slot: plan.slot,
    why,
    ...more,
  })
  const before = situation.observed.find((one) => !kept.has(one.id) && isInTheWay(one.plan, plan))
  // A node that earns is not stopped for ever by memory that nobody can explain. A launch ends, and has time.
  if (before?.memoryKept && isOfNode(before.plan) && isOfNode(plan)) return { do: 'let-go', id: before.id }
  if (before) {
    const isSoonGone = before.phase === 'ending' && !before.memoryKept
    return wait(describeBefore(before, plan), isSoonGone ? {} : toHeldProblem(plan, before.plan))
  }
  const holders = plan.gpus.map((gpu) => ({ gpu, holder: situation.gpu(gpu) }))
  for (const { gpu, holder } of holders) {
    if (holder.kind === 'leased') return wait(`GPU ${gpu} is held by ${holder.life}`)
    const owner = situation.reserved?.(gpu)
    if (owner !== undefined && owner !== toGroup(plan.owner))
      return wait(`GPU ${gpu} is taken by ${owner}`, toHeldProblem(plan, { owner, gpus: [gpu] }))
    if (claimed.has(gpu)) return wait(`GPU ${gpu} is about to be taken by another engine`)
  }
  const verdict = situation.restart(plan)
  if (verdict.kind !== 'now')
    return wait(describeVerdict(verdict), {
      problem: verdict.problem,
      verdict,
      ...(verdict.until !== undefined && { until: verdict.until }),
    })
  for (const { gpu, holder } of holders) {
    if (holder.kind !== 'foreign') continue
    const { usedMiB, totalMiB, who } = holder
    const by = who === undefined ? 'in use while no engine of ours is on it' : `in use by ${who}`
    return wait(`memory of GPU ${gpu} is held by ${who ?? 'another process'}`, {
      problem: fleetProblem('gpu-memory-taken', `GPU ${gpu}: ${usedMiB} of ${totalMiB} MiB ${by}`),
    })
  }
  for (const gpu of plan.gpus) claimed.add(gpu)
  return { do: 'start', plan }
}

const isOfNode = ({ owner }: EnginePlan): boolean => toLaunchId(owner) === undefined

function isSamePlace(one: EnginePlan, other: EnginePlan): boolean {
  return (
    one.slot === other.slot &&
    one.gpus.length === other.gpus.length &&
    one.gpus.every((gpu, at) => gpu === other.gpus[at])
  )
}

/** An engine that does not stay blocks its slot and its GPUs; on CPU, where there are none, its whole group. */
function isInTheWay(old: EnginePlan, plan: EnginePlan): boolean {
  if (old.gpus.some((gpu) => plan.gpus.includes(gpu))) return true
  return toGroup(old.owner) === toGroup(plan.owner) && (old.slot === plan.slot || old.gpus.length === 0)
}

function describeBefore({ id, plan: old }: Observed, plan: EnginePlan): string {
  const shared = old.gpus.find((gpu) => plan.gpus.includes(gpu))
  const isOther = toGroup(old.owner) !== toGroup(plan.owner)
  return isOther && shared !== undefined ? `GPU ${shared} is held by ${old.owner}` : `engine ${id} is still ending`
}

/** Of the node's own model: what a person launched there stands until he ends it. */
function toHeldProblem(plan: EnginePlan, { owner, gpus }: Pick<EnginePlan, 'owner' | 'gpus'>): { problem?: Problem } {
  const id = toLaunchId(owner)
  if (id === undefined || toGroup(plan.owner) !== 'node') return {}
  const shared = gpus.filter((gpu) => plan.gpus.includes(gpu)).join(', ')
  const problem = fleetProblem('gpu-held-by-launch', `GPU ${shared} is held by launch ${id}`)
  return { problem: { ...problem, remedy: problem.remedy.replace('gonka-node stop ID', `gonka-node stop ${id}`) } }
}

function describeVerdict(verdict: Exclude<RestartVerdict, { kind: 'now' }>): string {
  if (verdict.kind === 'backing-off') return `starts again soon after: ${verdict.problem.title}`
  return verdict.until === undefined
    ? `given up until something changes: ${verdict.problem.title}`
    : `given up, tried again slowly: ${verdict.problem.title}`
}

function toKeep(one: Observed): Step {
  return { do: 'keep', id: one.id }
}

/** A parked engine has no request to drain, and neither has one that loads. */
function toStop(one: Observed, why: string): Step {
  return { do: 'stop', id: one.id, why, drain: one.phase === 'serving' && !one.parked }
}
