// Holds the state of one engine life: the only place that assigns its phase's view to the data path (`upstream.state`).
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { computed, signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Body } from '../core/body.ts'
import { isKeeperAlive } from '../core/body-processes.ts'
import { hasRecord, writeRecord } from '../core/body-record.ts'
import { type Clock, waitTogether } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { boundLog } from '../core/log-file.ts'
import { readKept } from '../core/proc.ts'
import { until, watch } from '../core/watch.ts'
import { createEngineClient } from './client.ts'
import { explainExit } from './explain-exit.ts'
import { finish } from './finish.ts'
import type { MemoryEnd } from './finish-memory.ts'
import { isStray, makeLifeFolder, removeLifeFolder } from './life-folder.ts'
import type { End, EngineDeps, EngineLife, EngineSpec, Phase, Progress } from './life.ts'
import { live } from './live.ts'
import { engineProblem } from './problems.ts'
import { quietly, serve } from './serve.ts'
import { Upstream, type UpstreamState } from './upstream.ts'

export type LifePlan = {
  id: string
  spec: EngineSpec
  deps: EngineDeps
  clock: Clock
  logPath: string
  startedAt: Date
  /** Launches, or gives the adopted one. */
  body: () => Promise<Body>
  adopted: boolean
}

const keepLogBytes = 256 * 1024 * 1024
const boundLogEvery = 60_000
/** A look is one read. */
const guardEvery = 5000

type Ended = { end: End; problem?: Problem }

export function runLife(given: LifePlan): EngineLife {
  const { id, spec, deps } = given
  const plan = { ...given, deps: { ...deps, times: deps.timesOf?.(spec.owner) ?? deps.times } }
  const state = createState(plan)
  const [stop, hurry] = [new AbortController(), new AbortController()]
  const [leave, letGo] = [new AbortController(), new AbortController()]
  const held: Held = {}
  const ask = { stop: stop.signal, hurry: hurry.signal, leave: leave.signal, letGo: letGo.signal }
  const ended = run(plan, state, ask, held)
  return {
    id,
    spec,
    upstream: state.upstream,
    phase: state.phase,
    progress: state.progress,
    problem: computed(() => state.problem.value ?? pickUnwell(state)),
    cause: state.cause,
    since: state.since,
    get pid() {
      const keeper = held.body?.record.pid
      return state.program.value ?? (keeper === undefined ? undefined : readKept(keeper))
    },
    adopted: plan.adopted,
    get logPath() {
      return held.strayLog ?? plan.logPath
    },
    get strayLog() {
      return held.strayLog
    },
    startedAt: plan.startedAt,
    park: () => {
      state.parked.value = true
    },
    unpark: () => {
      state.parked.value = false
    },
    stop: async (how = { drain: true }) => {
      if (!how.drain) hurry.abort()
      stop.abort()
      return (await ended).end
    },
    leave: () => leave.abort(),
    letGo: () => letGo.abort(),
    get memoryKept() {
      return held.memory === 'let-go' || held.memory === 'others'
    },
    ended,
  }
}

function createState({ id, spec, clock }: LifePlan) {
  const { slot, port, model, hasPoc } = spec
  return {
    phase: signal<Phase>('launching'),
    parked: signal(false),
    progress: signal<Progress>({}),
    /** Of its end. */
    problem: signal<Problem | undefined>(undefined),
    unwell: signal<Problem | undefined>(undefined),
    cause: signal<Problem | undefined>(undefined),
    /** It stays the same for the whole life, and is asked for with every status. */
    program: signal<number | undefined>(undefined),
    since: signal(new Date(clock.wall())),
    upstream: new Upstream({ id, slot, port, model, hasPoc, state: 'loading' }),
  }
}

type State = ReturnType<typeof createState>
type Ask = { stop: AbortSignal; hurry: AbortSignal; leave: AbortSignal; letGo: AbortSignal }

type Held = {
  body?: Body
  strayLog?: string | undefined
  memory?: MemoryEnd
}

async function run(plan: LifePlan, state: State, ask: Ask, held: Held): Promise<Ended> {
  const { deps, spec } = plan
  const log = deps.log.child({ engine: plan.id })
  const over = new AbortController()
  const view = computed(() => toUpstreamState(state))
  watch(view, (value) => void (state.upstream.state.value = value), over.signal)
  const shown = computed(() => `${state.phase.value} ${state.parked.value}`)
  watch(shown, () => void (state.since.value = new Date(plan.clock.wall())), over.signal)
  watch(state.unwell, (problem) => problem && log.warn({ problem }, 'engine is out of rotation'), over.signal)
  watch(state.phase, (phase) => log.info({ phase, slot: spec.slot, model: spec.model }, 'engine phase'), over.signal)
  try {
    held.body = await plan.body()
  } catch (error) {
    const problem = engineProblem('engine-not-launched', messageOf(error))
    state.phase.value = 'gone'
    over.abort()
    return { end: { why: 'never-ready', problem }, problem }
  }
  if (await isStray(held.body.logPath)) held.strayLog = held.body.logPath
  const served = until(state.phase, (phase) => phase === 'serving', over.signal).then(
    () => true,
    () => false,
  )
  void served.then((yes) => (yes && held.body ? noteServing(held.body.record.folder, plan, state) : undefined))
  void learnProgram(held.body, plan, state, over.signal)
  void boundLogs(held.body.logPath, plan, over.signal)
  void guardRecord(held.body, plan, over.signal)
  const end = await liveThroughBugs({ ...plan, log, body: held.body, held }, state, ask)
  over.abort()
  // An old trouble of one request explains no end hours later; before it serves, argparse alone prints 300 lines.
  const lines = (await served) ? 300 : 2000
  const problem =
    end.why === 'exited' ? await explainExit(held.body.logPath, end.code, lines) : 'problem' in end && end.problem
  if (end.why !== 'left') held.strayLog = await removeFolder(held.body, plan)
  return problem ? { end, problem } : { end }
}

/** The keeper has no child in its first moments, and whoever looked then is to be told when it has. */
async function learnProgram(
  { record: { pid } }: Body,
  { clock }: LifePlan,
  { program }: State,
  over: AbortSignal,
): Promise<void> {
  if (pid === undefined) return
  for (let pause = 5; !over.aborted; pause = Math.min(2 * pause, 1000)) {
    program.value = readKept(pid)
    if (program.peek() !== undefined) return
    await clock.wait(pause, over).catch(() => {})
  }
}

/** A bug in our code must not unload a model (D13): the same body is taken up again. */
async function liveThroughBugs(
  plan: Omit<LifePlan, 'body'> & { body: Body; log: EngineDeps['log']; held: Held },
  state: State,
  ask: Ask,
): Promise<End> {
  const { body, spec, deps, clock, log, held } = plan
  const client = createEngineClient(body.origin)
  const parts = { body, spec, deps: { ...deps, log }, clock, client, ...state, ...ask }
  try {
    for (;;) {
      try {
        return await live(body, ask, {
          phase: state.phase,
          serve: (abort) => quietly(serve(parts, abort)),
          finish: async (end, wasServing) => {
            void tellCause(end, { logPath: body.logPath, lines: wasServing ? 300 : 2000 }, state)
            return (held.memory = await finish(parts, end, wasServing))
          },
        })
      } catch (error) {
        log.error({ err: error }, 'bug in the life of an engine; it is taken up again')
        await clock.wait(1000)
      }
    }
  } finally {
    await client.close()
  }
}

/** Memory may take minutes to come back: whoever waits for the end reads at once why it ends. */
async function tellCause(end: End, from: { logPath: string; lines: number }, { cause }: State): Promise<void> {
  if ('problem' in end) cause.value = end.problem
  else if (end.why === 'exited')
    cause.value = await explainExit(from.logPath, end.code, from.lines).catch(() => undefined)
}

/** The daemon that adopts it says since when it serves, too. */
async function noteServing(folder: string, { adopted }: LifePlan, { phase, parked, since }: State): Promise<void> {
  const mark = join(folder, 'serving')
  try {
    const known = adopted ? await stat(mark).catch(() => undefined) : undefined
    if (!known) return await writeFile(mark, '')
    if (phase.peek() === 'serving' && !parked.peek()) since.value = known.mtime
  } catch {
    // Its folder is gone, or its disk is full: then it is the time at which it was found.
  }
}

function toUpstreamState(state: State): UpstreamState {
  const phase = state.phase.value
  if (phase === 'launching' || phase === 'loading') return 'loading'
  if (phase !== 'serving') return phase
  if (state.parked.value) return 'parked'
  return pickUnwell(state) ? 'unwell' : 'serving'
}

const pickUnwell = ({ phase, unwell }: State): Problem | undefined =>
  phase.value === 'serving' ? unwell.value : undefined

/** @returns where its log is, if not in LOG_DIR */
function removeFolder(body: Body, { deps, spec }: LifePlan): Promise<string | undefined> {
  return removeLifeFolder(body.record.folder, deps, spec.slot).catch((error: unknown) => {
    deps.log.warn({ why: messageOf(error) }, 'folder of a dead engine not removed')
    return undefined
  })
}

/** Somebody may clear the state folder: without its record the next daemon could not adopt the engine. */
async function guardRecord({ record }: Body, { deps, clock, logPath }: LifePlan, abort: AbortSignal): Promise<void> {
  while (!abort.aborted) {
    await waitTogether(clock, guardEvery, abort)
    if (abort.aborted || (await hasRecord(record.folder)) || !isKeeperAlive(record)) continue
    deps.log.warn({ folder: record.folder }, 'the record of a living engine is gone: it is written again')
    await makeLifeFolder(record.folder, logPath, () => {})
      .then(() => writeRecord(record))
      .catch((error: unknown) => deps.log.warn({ why: messageOf(error) }, 'the record cannot be written'))
  }
}

/** Says once that it cannot, and goes on trying. */
async function boundLogs(path: string, { deps, clock }: LifePlan, abort: AbortSignal): Promise<void> {
  let said = false
  while (!abort.aborted) {
    await boundLog(path, deps.keepLog ?? keepLogBytes).catch((error: unknown) => {
      if (!said) deps.log.warn({ path, why: messageOf(error) }, 'log of an engine is not bounded')
      said = true
    })
    await waitTogether(clock, boundLogEvery, abort)
  }
}
