// One pass of the fleet: facts, decision, steps, report. What it remembers between passes is only what no fact tells.
import type { ReadonlySignal, Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { StatusSignal } from '../core/status-signal.ts'
import type { Inventory } from '../gpu/inventory.ts'
import { type Claim, judgeClaim } from './claim.ts'
import { decide, type Step, type Wanted } from './decide.ts'
import type { ForeignMemory } from './foreign-memory.ts'
import type { EngineView, Planned } from './fleet.ts'
import { type Grace, toGrace } from './grace.ts'
import { launch } from './launch.ts'
import type { LaunchDesk } from './launch-desk.ts'
import type { LaunchGate } from './launch-gate.ts'
import type { LaunchRecords } from './launch-records.ts'
import type { Leases } from './leases.ts'
import type { Lives } from './lives.ts'
import type { OrdersDesk, Report } from './orders-desk.ts'
import type { EnginePlan, Resolved } from './plan.ts'
import type { Planner } from './planner.ts'
import { fleetProblem } from './problems.ts'
import { isSettled, judgeProgress, pickStanding } from './progress.ts'
import { judgeRestart } from './restart-policy.ts'
import { isOfNode, type Roster } from './roster.ts'
import { describeFleet, toAbsentView, toEngineView } from './views.ts'
import { type Ask, type Effective, judgeEffective } from './wish.ts'
import type { WishBook } from './wishes.ts'

/** What a pass assigns; everybody else only reads. */
export type FleetState = {
  planned: Signal<Planned | undefined>
  /** The GPUs that the node's own model keeps from launches. */
  claim: Signal<Claim>
  /** Planned engines that do not live. */
  absent: Signal<readonly EngineView[]>
  configuredArgs: Signal<readonly string[] | undefined>
  status: StatusSignal
  report: Signal<Report>
}

export type BodyDeps = {
  config: Config
  inventory: ReadonlySignal<Inventory>
  lives: Lives
  log: Log
  clock: Clock
  ending: AbortSignal
  planner: Planner
  leases: Leases
  roster: Roster
  book: WishBook
  desk: OrdersDesk
  launches: LaunchDesk
  gate: LaunchGate
  records: Pick<LaunchRecords, 'problem'>
  foreignMemory: ForeignMemory
  state: FleetState
  /** Assigned to run a pass at a time that no event marks. */
  poke: Signal<number>
}

type Memory = {
  adopting?: Promise<void>
  standing?: { ask: Ask; plans: readonly EnginePlan[] } | undefined
  /** The grace of a stop, fixed when it was first seen: the wall clock may step meanwhile. */
  grace?: Grace
  fewerGpus?: Problem
  filesWere?: string
  alarm?: AbortController
  stands: boolean
}

export type LoopBody = {
  pass: () => Promise<void>
  adopt: () => Promise<void>
  /** The last pass found nothing to do and nothing to wait for. */
  stands: () => boolean
}

export function createLoopBody(deps: BodyDeps): LoopBody {
  const memory: Memory = { stands: false }
  const adopt = () => {
    memory.adopting ??= adoptAll(deps).catch((error: unknown) => {
      delete memory.adopting
      deps.state.status.set('degraded', `engines of an earlier run cannot be looked for: ${messageOf(error)}`)
      throw error
    })
    return memory.adopting
  }
  return { adopt, pass: () => runPass(deps, memory, adopt), stands: () => memory.stands }
}

/** Nothing is launched before this has succeeded: a model that is loaded already must not be loaded again. */
async function adoptAll({ book, lives, roster, ending, log, launches }: BodyDeps): Promise<void> {
  await Promise.all([book.load(), launches.load()])
  const found = await lives.adopt()
  if (found.length > 0) log.info({ engines: found.map((one) => one.id), ending: ending.aborted }, 'engines adopted')
  roster.adopt(found)
  await launches.reconcile(roster.members.peek(), lives.dead)
}

async function runPass(deps: BodyDeps, memory: Memory, adopt: () => Promise<void>): Promise<void> {
  const { book, desk, roster, clock, state, ending } = deps
  memory.stands = false
  await adopt()
  void book.flush()
  const generation = desk.generation.peek()
  const effective = judgeEffective(book.wishes.peek())
  keepFiles(effective, deps, memory)
  const wanted = await toWanted(effective, deps, memory)
  state.claim.value = judgeClaim(effective, wanted, memory.standing?.plans)
  deps.gate.promote()
  const others = await deps.launches.toWanted(roster.members.peek())
  // An order came while we looked: what we know is not what is wanted any more, and the loop is already woken.
  if (desk.generation.peek() !== generation || ending.aborted) return
  const observed = roster.observe()
  const steps = decide({
    wanted: [...(wanted ? [wanted] : []), ...others],
    observed,
    gpu: (index) => deps.foreignMemory.holder(index),
    reserved: (index) => deps.leases.reserved.get(index),
    restart: (plan) => judgeRestart(roster.failures(plan), clock.now()),
    same: deps.planner.isSame,
    now: clock.now(),
  })
  await act(steps, deps)
  deps.launches.note(steps)
  const isWaitedFor = others.length > 0 || deps.foreignMemory.holdsUpQueue()
  memory.stands = isSaved(deps) && !isWaitedFor && isSettled(wanted, observed, steps)
  const model = effective.kind === 'run' ? effective.ask.model : undefined
  const progress = judgeProgress(wanted, model, observed, steps)
  const absent = toAbsent(steps, wanted, deps)
  if (absent.length > 0 || state.absent.peek().length > 0) state.absent.value = absent
  state.report.value = { generation, progress }
  tell(deps, memory, effective, wanted)
  setAlarm(deps, memory, steps, wanted)
  deps.foreignMemory.follow(steps)
  deps.launches.open()
}

const isSaved = ({ book, records }: BodyDeps): boolean =>
  [book, records].every(({ problem }) => problem.peek()?.code !== 'state-not-writable')

/** What nobody needs any more leaves nothing behind: neither a download that is tried for ever nor its problem. */
function keepFiles(effective: Effective, { planner, book, launches, desk }: BodyDeps, { standing }: Memory): void {
  const asks = Object.values(book.wishes.peek()).flatMap((one) => (one?.kind === 'run' ? [one.ask] : []))
  const own = effective.kind === 'run' ? [effective.ask] : []
  const judged = desk.judged.peek()
  planner.keepFilesOf([
    ...own,
    ...(judged ? [judged] : []),
    ...asks,
    ...(standing ? [standing.ask] : []),
    ...launches.asks(),
  ])
}

async function toWanted(effective: Effective, deps: BodyDeps, memory: Memory): Promise<Wanted | undefined> {
  const { planner, roster, state, clock, config } = deps
  await readConfigured(deps)
  if (effective.kind !== 'run') {
    state.planned.value = undefined
    memory.standing = effective.kind === 'stopped' ? memory.standing : undefined
    if (effective.kind === 'nothing') return undefined
    // The operator said so to have the GPUs: nobody waits for him to think again.
    if (effective.by === 'operator') return { group: 'node', mode: 'parked', until: clock.now() }
    if (memory.grace?.at !== effective.at) memory.grace = toGrace(effective.at, config.engine.orderGrace, clock)
    return { group: 'node', mode: 'parked', until: memory.grace.until }
  }
  const files = planner.filesOf(effective.ask).peek()
  // A model that comes anew may cure what was pointless to try again.
  if (files.kind === 'ready' && memory.filesWere !== undefined && memory.filesWere !== 'ready') roster.forgetFailures()
  memory.filesWere = files.kind
  const fresh = await planner.resolve(effective.ask, effective.owner)
  const old = memory.standing
  const standing = old && { plans: old.plans, sameWish: await planner.isSameAsk(old.ask, effective.ask) }
  const resolved = pickStanding(fresh, standing, roster.observe(), planner.isSame)
  keepPlanned(resolved, effective, deps, memory)
  return { group: 'node', mode: 'run', resolved }
}

/** k is fixed before any engine loads, and on disk for the PoC slots of the next daemon. */
function keepPlanned(
  resolved: Resolved,
  { ask, owner }: Extract<Effective, { kind: 'run' }>,
  deps: BodyDeps,
  memory: Memory,
) {
  const { book, state, inventory } = deps
  const old = state.planned.peek()
  const found = inventory.peek()
  const count = found.kind === 'known' ? found.gpus.length : undefined
  const before = book.kept.gpuCount ?? 0
  if (count !== undefined && count < before)
    memory.fewerGpus ??= fleetProblem('fewer-gpus-than-before', `${count} now, ${before} before`)
  const first = resolved.kind === 'planned' ? resolved.plans[0] : undefined
  if (resolved.kind !== 'planned' || !first) {
    const kept = book.kept.planned
    const next = kept?.model === ask.model ? kept : undefined
    if (JSON.stringify(old) !== JSON.stringify(next)) state.planned.value = next
    return
  }
  memory.standing = { ask, plans: resolved.plans }
  const next: Planned = {
    model: ask.model,
    instances: resolved.plans.length,
    gpusPerEngine: first.gpus.length,
    hasPoc: first.hasPoc,
    owner,
  }
  book.keepPlan(next, count)
  if (JSON.stringify(old) !== JSON.stringify(next)) state.planned.value = next
}

async function readConfigured({ book, planner, state }: BodyDeps): Promise<void> {
  const wish = book.wishes.peek().configuration
  const resolved = wish?.kind === 'run' ? await planner.resolve(wish.ask, 'configuration') : undefined
  // Without a wish of its own (INFERENCE_NODE=false) nobody looks for the files, and the split is as it was written.
  const args = resolved ? resolved.kind === 'planned' && resolved.plans[0]?.args : planner.configuredArgs()
  if (args && JSON.stringify(args) !== JSON.stringify(state.configuredArgs.peek())) state.configuredArgs.value = args
}

async function act(steps: readonly Step[], deps: BodyDeps): Promise<void> {
  for (const step of steps) if (step.do !== 'start') deps.roster.act(step)
  // Ports are taken one after the other; the engines themselves start at the same time.
  for (const step of steps)
    if (step.do === 'start')
      await launch(step.plan, { ...deps, isWanted: (plan) => !deps.ending.aborted && deps.launches.isWanted(plan) })
}

function toAbsent(
  steps: readonly Step[],
  wanted: Wanted | undefined,
  { state, roster, clock }: BodyDeps,
): EngineView[] {
  if (wanted?.mode !== 'run' || wanted.resolved.kind !== 'planned') return []
  const { plans } = wanted.resolved
  return steps.flatMap((step) => {
    const plan = step.do === 'wait' && step.group === 'node' ? plans.find((one) => one.slot === step.slot) : undefined
    if (step.do !== 'wait' || !plan) return []
    const before = state.absent.peek().find((one) => one.slot === step.slot)
    const view = toAbsentView(step, { model: plan.model, gpus: plan.gpus, since: '', restarts: roster.restarts(plan) })
    const since = before?.phase === view.phase ? before.since : new Date(clock.wall()).toISOString()
    return [{ ...view, since }]
  })
}

function tell(deps: BodyDeps, memory: Memory, effective: Effective, wanted: Wanted | undefined): void {
  const { state, roster, book, desk, config, clock } = deps
  const resolved = wanted?.mode === 'run' ? wanted.resolved : undefined
  const members = roster.members.peek().filter(isOfNode)
  const others = [
    ...members.map((one) => one.life.problem.peek()),
    desk.conflict(),
    book.problem.peek(),
    memory.fewerGpus,
  ].filter((one) => one !== undefined)
  const { health, summary, problem } = describeFleet({
    progress: state.report.peek().progress,
    planned: state.planned.peek(),
    views: [...members.map(toEngineView), ...state.absent.peek()],
    waiting: resolved?.kind === 'waiting' ? resolved : undefined,
    graceLeft: wanted?.mode === 'parked' ? Math.max(0, Math.ceil((wanted.until - clock.now()) / 1000)) : 0,
    stoppedBy: effective.kind === 'stopped' ? effective.by : undefined,
    idle:
      config.engine.model === undefined
        ? { health: 'off', summary: 'no MODEL_NAME is set, and no API node has ordered a model' }
        : {
            health: 'ok',
            summary: `INFERENCE_NODE=false: ${config.engine.model} is started when an API node orders it`,
          },
    others,
  })
  state.status.set(health, summary, problem)
}

/** Times that no event marks: the end of a grace, of a backoff. */
function setAlarm(
  { clock, poke, ending }: BodyDeps,
  memory: Memory,
  steps: readonly Step[],
  wanted: Wanted | undefined,
): void {
  memory.alarm?.abort()
  const times = steps.flatMap((step) => (step.do === 'wait' && step.until !== undefined ? [step.until] : []))
  if (wanted?.mode === 'parked' && wanted.until > clock.now()) times.push(wanted.until)
  if (times.length === 0 || ending.aborted) return
  const alarm = new AbortController()
  memory.alarm = alarm
  const bound = AbortSignal.any([alarm.signal, ending])
  void clock.wait(Math.max(1, Math.min(...times) - clock.now()), bound).then(() => {
    if (!bound.aborted) poke.value += 1
  })
}
