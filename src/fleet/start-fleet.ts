// All engines together: gathers the facts, lets decide() judge, carries the steps out, and says how it stands. Engines of an
// earlier daemon are adopted before anything is launched.
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import type { Config } from '../config/schema.ts'
import { within } from '../core/abort.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { readBootId } from '../core/proc.ts'
import { createStatus } from '../core/status-signal.ts'
import { until, watch } from '../core/watch.ts'
import type { GpuProcesses, Inventory } from '../gpu/inventory.ts'
import type { Files, ModelRef } from '../models/files.ts'
import { endEngines, judgeEndBound } from './end-engines.ts'
import type { Fleet, Planned } from './fleet.ts'
import { createLoopBody, type FleetState } from './loop-body.ts'
import { createLaunchDesk, createLaunchParts } from './launch-parts.ts'
import { Leases } from './leases.ts'
import type { Lives } from './lives.ts'
import { OrdersDesk, type Report } from './orders-desk.ts'
import { createPlanner, type EngineHome } from './planner.ts'
import { isOfNode, Roster } from './roster.ts'
import { settle } from './settle.ts'
import { startLaunches } from './start-launches.ts'
import { toEngineView, toPart } from './views.ts'
import { judgeEffective, type Wish } from './wish.ts'
import { WishBook } from './wishes.ts'

export type FleetDeps = {
  config: Config
  files: (model: ModelRef) => ReadonlySignal<Files>
  /** Nobody needs the files of other models any more. */
  keepFiles?: (models: readonly ModelRef[]) => void
  inventory: ReadonlySignal<Inventory>
  /** Asks for the GPUs now; the fleet does so while it waits for memory that somebody else holds. */
  refreshGpus?: () => Promise<unknown>
  /** Who holds GPU memory. */
  gpuProcesses?: () => Promise<GpuProcesses>
  /** Of host/identity; undefined where it is not known (yet). */
  instanceId: string | undefined
  lives: Lives
  engineHome: EngineHome
  log: Log
  clock?: Clock
  random?: () => number
  bootId?: string
}

/** Looks again this often without any event, ms: while something is to come, and while all is as it should be. */
const every = { moving: 1000, standing: 30_000 }

export function startFleet(deps: FleetDeps): Fleet {
  const { log, clock = systemClock } = deps
  const ending = new AbortController()
  const parts = createParts(deps, clock, ending.signal)
  const { roster, book, desk, planner, state, launches, records } = parts
  const poke = signal(0)
  const wake = computed(() => [
    poke.value,
    desk.generation.value,
    desk.judged.value,
    desk.conflict(),
    deps.inventory.value,
    book.problem.value,
    readFiles(book, planner.filesOf),
    roster.members.value.map(({ life }) => [life.phase.value, life.problem.value, life.cause.value]),
    records.all.value,
    records.problem.value,
    launches.files.value.map((one) => one.value.kind),
    parts.foreignMemory.looks.value,
  ])
  const body = createLoopBody({ ...deps, ...parts, clock, ending: ending.signal, poke })
  const settled = settle({ adopt: body.adopt, members: roster.members }, ending.signal)
  watch(deps.lives.trouble, (why) => why !== undefined && book.check(), ending.signal)
  const pace = () => (body.stands() ? every.standing : every.moving)
  const loop = startLoop('fleet', body.pass, { log, abort: ending.signal, every: pace, wake, clock })
  const finish = async (intent: Intent): Promise<void> => {
    ending.abort()
    // A pass waits for nothing but the disk; a disk that hangs must not hold up the end.
    await Promise.race([loop.ended, clock.wait(5000)])
    await endEngines(intent, { ...deps, clock, roster, book, adopt: body.adopt })
    await Promise.race([launches.finish(intent, roster.members.peek()), clock.wait(2000)])
    state.status.set('off', intent === 'restart' ? 'left for the next daemon' : 'ended')
  }
  let ended: Promise<void> | undefined
  return {
    name: 'fleet',
    status: state.status.signal,
    ...createViews(roster, state),
    planned: state.planned,
    orders: desk,
    launches: startLaunches({
      ...parts,
      members: roster.members,
      desk: launches,
      orders: desk,
      claim: state.claim,
      clock,
      ending: ending.signal,
    }),
    settled,
    configuredArgs: state.configuredArgs,
    // The pass that runs, the engines, the wishes.
    endsWithin: judgeEndBound(deps.config) + 10_000,
    end: (intent) => {
      ended ??= finish(intent).catch((error: unknown) =>
        log.error({ err: error }, `fleet did not end: ${messageOf(error)}`),
      )
      return ended
    },
  }
}

function createParts(deps: FleetDeps, clock: Clock, ending: AbortSignal) {
  const { config, lives, log, instanceId, random = Math.random, bootId = readBootId() } = deps
  const planner = createPlanner({ ...deps, clock })
  const leases = new Leases()
  const { isSame, recall } = planner
  const common = { config, leases, clock, bootId, log }
  const asked = createLaunchDesk({ ...common, planner })
  const roster = new Roster({ lives, leases, clock, random, log, isSame, recall, launches: asked.launches })
  const configuration = toConfigured(config, bootId, clock)
  const { model: modelName } = config.engine
  const book = new WishBook({ stateDir: config.host.stateDir, instanceId, bootId, modelName, configuration })
  const state: FleetState = {
    planned: signal<Planned | undefined>(undefined),
    claim: signal('all'),
    absent: signal([]),
    configuredArgs: signal(undefined),
    status: createStatus('looking for engines of an earlier run', clock),
    report: signal<Report>({ generation: -1, progress: { kind: 'nothing' } }),
  }
  const desk = new OrdersDesk({
    book,
    bootId,
    clock,
    report: state.report,
    resolve: (ask) => planner.resolve(ask, 'broker'),
    whenCounted: () => whenCounted(deps.inventory, ending),
    isSameAsk: planner.isSameAsk,
    differences: planner.differences,
    filesOf: planner.filesOf,
    engines: computed(() => summarize(roster)),
    forgive: () => roster.forgive('node'),
    abort: ending,
  })
  const parts = { planner, leases, roster, book, state, desk, ...asked }
  return { ...parts, ...createLaunchParts({ ...deps, ...common, ...parts, ending }) }
}

function createViews(roster: Roster, state: FleetState) {
  const engines = computed(() => {
    const living = roster.members.value.filter(isOfNode).map(toEngineView)
    const absent = state.absent.value.filter((one) => !living.some((other) => other.slot === one.slot))
    return [...living, ...absent].toSorted((a, b) => a.slot - b.slot)
  })
  return {
    engines,
    launchedArgs: computed(() => pickLaunchedArgs(roster, state)),
    parts: computed(() => engines.value.map(toPart)),
    upstreams: computed(() =>
      roster.members.value
        .filter(isOfNode)
        .map((one) => one.life.upstream)
        .toSorted((a, b) => a.slot - b.slot),
    ),
  }
}

/** Those of an engine that stays count, not of one that is on its way out. */
function pickLaunchedArgs(roster: Roster, { planned, configuredArgs }: FleetState): readonly string[] | undefined {
  const all = roster.members.value.filter(isOfNode)
  const { life } = all.find((one) => one.life.phase.value !== 'ending') ?? all[0] ?? {}
  if (life) return life.spec.argv
  return planned.value?.owner === 'broker' ? undefined : configuredArgs.value
}

/** The bound of one question to nvidia-smi, and a little. */
const countBound = 16_000

async function whenCounted(inventory: ReadonlySignal<Inventory>, abort: AbortSignal): Promise<void> {
  if (inventory.peek().kind !== 'unknown') return
  await until(inventory, ({ kind }) => kind !== 'unknown', within(countBound, abort)).catch(() => {})
}

/** INFERENCE_NODE=false: nothing is wanted until the broker orders it. */
function toConfigured(config: Config, bootId: string, clock: Clock): Wish | undefined {
  const { model, inferenceNode } = config.engine
  if (model === undefined || !inferenceNode) return undefined
  return { kind: 'run', ask: { model }, at: clock.wall(), bootId }
}

function summarize(roster: Roster): { alive: boolean; starting: boolean; ending: boolean } {
  const phases = roster.members.value
    .filter(isOfNode)
    .map((one) => ({ phase: one.life.phase.value, parked: one.parked }))
  const serves = phases.some((one) => one.phase === 'serving')
  return {
    alive: phases.some((one) => one.phase !== 'gone'),
    ending: phases.some((one) => one.phase === 'ending'),
    starting: !serves && phases.some((one) => !one.parked && (one.phase === 'launching' || one.phase === 'loading')),
  }
}

function readFiles(book: WishBook, filesOf: (ask: { model: string }) => ReadonlySignal<Files>): Files | undefined {
  const effective = judgeEffective(book.wishes.value)
  return effective.kind === 'run' ? filesOf(effective.ask).value : undefined
}
