// The launches between their clients and the loop: what of them is wanted, and what became of their engines. The only place that
// assigns the state of a launch. It starts and ends no engine itself; `decide` does.
//   bootstrapping --> ready --> stopping --> stopped
//         \            \           `-------> stopped (also where the engine fell meanwhile)
//          `------------`----> failed
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { isTerminal } from '../api/launches.ts'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import type { Intent } from '../core/intent.ts'
import { readLastLines } from '../core/log-file.ts'
import type { Log } from '../core/log.ts'
import { watch } from '../core/watch.ts'
import { diagnose } from '../engine/diagnose.ts'
import { toLaunchLifeId } from '../engine/life-folder.ts'
import type { Files } from '../models/files.ts'
import type { Step, Wanted } from './decide.ts'
import { describeProblem, launchOwner, type LaunchRecord, toDiagnosis, toLaunchId } from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'
import { toWish } from './launch-wish.ts'
import type { Leases } from './leases.ts'
import type { EngineLife, Lives } from './lives.ts'
import type { EnginePlan, Resolved } from './plan.ts'
import type { Planner } from './planner.ts'
import { fleetProblem, toVanished } from './problems.ts'
import type { LaunchEvents, Member } from './roster.ts'
import type { Ask } from './wish.ts'

export type LaunchDeskDeps = {
  records: LaunchRecords
  leases: Leases
  planner: Planner
  clock: Clock
  bootId: string
  log: Log
  /** Where the log of a launch is. */
  toLog: (id: string) => string
}

/** Why a launch that has its GPUs has no engine yet. */
export type Pause = { why: string; percent?: number | undefined; problem?: Problem | undefined }

export class LaunchDesk implements LaunchEvents {
  readonly #deps: LaunchDeskDeps
  readonly #pauses = signal<ReadonlyMap<string, Pause>>(new Map())
  readonly #files = signal<readonly ReadonlySignal<Files>[]>([])
  readonly #isOpen = signal(false)
  /** Monotonic ms; those that work on a request are not in it. */
  readonly #idleSince = new Map<string, number>()

  constructor(deps: LaunchDeskDeps) {
    this.#deps = deps
  }

  /** Records are read, engines adopted, and the node's GPUs known: from here on launches are taken. */
  get isOpen(): ReadonlySignal<boolean> {
    return this.#isOpen
  }

  get pauses(): ReadonlySignal<ReadonlyMap<string, Pause>> {
    return this.#pauses
  }

  /** What launches wait for; the loop wakes with them. */
  get files(): ReadonlySignal<readonly ReadonlySignal<Files>[]> {
    return this.#files
  }

  open(): void {
    this.#isOpen.value = true
  }

  /** Before any engine is adopted: what launches had is theirs. @throws what the file system says of the folder */
  async load(): Promise<void> {
    const { records, leases, log } = this.#deps
    await records.load()
    // The newest first: it was given its GPUs when those before it had ended, whatever their files say.
    for (const { id, state, queued, gpuIds } of records.all.peek().toReversed()) {
      if (isTerminal(state) || queued || leases.reserve(gpuIds, launchOwner(id))) continue
      log.warn({ launch: id, gpuIds }, "launch had ended: its GPUs are another one's")
      records.change(id, { state: 'stopping' })
    }
  }

  /** After the engines of the daemon before were adopted: whoever has none has failed, unless it was never started. */
  async reconcile(members: readonly Member[], dead: Lives['dead']): Promise<void> {
    const { records, bootId } = this.#deps
    for (const { plan, life } of members) this.#recover(plan, life)
    const alive = new Set(members.map(({ plan }) => toLaunchId(plan.owner)))
    for (const record of records.all.peek()) {
      const { id, state } = record
      if (isTerminal(state) || alive.has(id)) continue
      const found = dead.get(toLaunchLifeId(id))
      if (found?.strayLog !== undefined) records.change(id, { logPath: found.strayLog })
      if (record.bootId !== bootId) this.#end(id, fleetProblem('launch-rebooted', `model ${record.request.model}`))
      else if (state === 'stopping') this.#end(id, undefined)
      else if (found) this.#end(id, toVanished(found.problem))
      else if (!record.queued) await this.#explainAbsent(record)
    }
  }

  /** What the loop shall have, for every launch that has not ended. */
  async toWanted(members: readonly Member[]): Promise<Wanted[]> {
    void this.#deps.records.flush()
    const lives = new Map(members.map((one) => [toLaunchId(one.plan.owner), one]))
    const wanted: Wanted[] = []
    const files: ReadonlySignal<Files>[] = []
    const pauses = new Map<string, Pause>()
    for (const record of this.#deps.records.all.peek()) {
      if (record.queued || (record.state !== 'bootstrapping' && record.state !== 'ready')) continue
      if (!this.#deps.records.isStored(record.id)) continue
      const member = lives.get(record.id)
      const over = member && member.life.phase.peek() !== 'ending' && this.#judgeOver(record)
      if (over) {
        this.#deps.log.info({ launch: record.id, why: over }, 'launch is stopped')
        this.stop(record.id, true)
        continue
      }
      const group = launchOwner(record.id)
      if (member) {
        wanted.push({ group, mode: 'run', resolved: { kind: 'planned', plans: [member.plan], notes: [] } })
        continue
      }
      const wish = toWish(record)
      if ('code' in wish) {
        this.ended(record.id, wish)
        continue
      }
      files.push(this.#deps.planner.filesOf(wish.ask))
      const resolved = await this.#deps.planner.resolveLaunch(wish)
      if (resolved.kind === 'blocked' || resolved.kind === 'impossible') {
        this.ended(record.id, resolved.problem)
        continue
      }
      if (resolved.kind === 'waiting') pauses.set(record.id, toPause(resolved))
      wanted.push({ group, mode: 'run', resolved })
    }
    const before = this.#files.peek()
    // An equal list would wake the loop again.
    if (files.length !== before.length || files.some((one, at) => one !== before[at])) this.#files.value = files
    if (pauses.size > 0 || this.#pauses.peek().size > 0) this.#pauses.value = pauses
    return wanted
  }

  /** What `decide` says of launches that cannot start yet. */
  note(steps: readonly Step[]): void {
    const waits = new Map<string, Pause>()
    for (const step of steps) {
      const id = step.do === 'wait' ? toLaunchId(step.group) : undefined
      if (step.do === 'wait' && id !== undefined) waits.set(id, { why: step.why, problem: step.problem })
    }
    if (waits.size > 0) this.#pauses.value = new Map([...this.#pauses.peek(), ...waits])
  }

  /** The models whose files launches need. */
  asks(): Ask[] {
    const open = this.#deps.records.all.peek().filter((one) => !isTerminal(one.state))
    return open.flatMap((record) => {
      const wish = toWish(record)
      return 'code' in wish ? [] : [wish.ask]
    })
  }

  /** Engines of the node: always. */
  isWanted(plan: EnginePlan): boolean {
    const id = toLaunchId(plan.owner)
    return id === undefined || this.#deps.records.get(id)?.state === 'bootstrapping'
  }

  began(id: string, life: EngineLife): void {
    const { clock, records } = this.#deps
    const over = new AbortController()
    void life.ended.then(({ end }) => {
      over.abort()
      if (end.why !== 'left' && life.strayLog !== undefined) records.change(id, { logPath: life.strayLog })
      this.#idleSince.delete(id)
    })
    watch(
      life.upstream.idle,
      (idle) => void (idle ? this.#idleSince.set(id, clock.now()) : this.#idleSince.delete(id)),
      over.signal,
    )
    watch(life.cause, (cause) => cause && this.#fail(id, cause), over.signal)
    watch(
      life.phase,
      (phase) => {
        if (phase !== 'serving') return
        this.#idleSince.set(id, clock.now())
        this.#become(id)
      },
      over.signal,
    )
  }

  /** It still ends, and has failed already: whoever looks is told so, and why. */
  #fail(id: string, cause: Problem): void {
    const { records } = this.#deps
    const state = records.get(id)?.state
    if (state !== 'ready' && state !== 'bootstrapping') return
    records.change(id, { error: describeProblem(cause), diagnosis: toDiagnosis(cause) })
  }

  ended(id: string, problem: Problem | undefined): void {
    this.#end(id, problem)
  }

  /** From now on it is not wanted; one without an engine has ended at once. */
  stop(id: string, hasEngine: boolean): void {
    const record = this.#deps.records.get(id)
    if (!record || isTerminal(record.state)) return
    if (!hasEngine) return this.#end(id, undefined)
    if (record.state !== 'stopping') this.#deps.records.change(id, { state: 'stopping' })
  }

  /** After the engines were ended, or left. What still ends then, or has left memory on its GPUs, is the next daemon's affair. */
  async finish(intent: Intent, members: readonly Member[]): Promise<void> {
    const { records } = this.#deps
    const left = new Set(members.map(({ plan }) => toLaunchId(plan.owner)))
    if (intent !== 'restart')
      for (const { id, state } of records.all.peek()) if (!isTerminal(state)) this.stop(id, left.has(id))
    await records.flush()
  }

  #become(id: string): void {
    const { records, clock, log } = this.#deps
    if (records.get(id)?.state !== 'bootstrapping') return
    log.info({ launch: id, state: 'ready' }, 'launch')
    records.change(id, { state: 'ready', readyAt: clock.wall() })
  }

  /** What the request itself says of its end, in words. */
  #judgeOver({ id, state, readyAt, request }: LaunchRecord): string | undefined {
    const { clock } = this.#deps
    if (state !== 'ready') return undefined
    const { ttl_seconds: ttl, idle_stop_seconds: idle } = request
    if (ttl !== undefined && readyAt !== undefined && clock.wall() - readyAt >= ttl * 1000)
      return `it was ready for ${ttl} s, as asked for`
    const idleSince = this.#idleSince.get(id)
    if (idle !== undefined && idleSince !== undefined && clock.now() - idleSince >= idle * 1000)
      return `it was idle for ${idle} s`
    return undefined
  }

  /** Whoever asked for its end gets it as `stopped`, whatever the engine did meanwhile. */
  #end(id: string, problem: Problem | undefined): void {
    const { records, leases, log } = this.#deps
    leases.unreserve(launchOwner(id))
    const record = records.get(id)
    if (!record || isTerminal(record.state)) return
    const failed = record.state === 'stopping' ? undefined : problem
    const state = failed ? 'failed' : 'stopped'
    log.info({ launch: id, state, ...(failed && { problem: failed }) }, 'launch')
    const { queued: _, diagnosis: __, ...rest } = record
    records.replace({
      ...rest,
      state,
      error: null,
      ...(failed && { error: describeProblem(failed), diagnosis: toDiagnosis(failed) }),
    })
  }

  /** An engine whose launch is on disk no more is no reason to unload a model: what is known of it is enough. */
  #recover({ owner, model, gpus, args }: EnginePlan, life: EngineLife): void {
    const { records, bootId, log } = this.#deps
    const id = toLaunchId(owner)
    if (id === undefined || records.get(id)) return
    log.warn({ launch: id, model }, 'launch is not on disk; taken back from its engine')
    const stamp = records.stamp()
    const task = args.includes('--task=embed') ? 'embed' : 'generate'
    const request = { model, gpu_ids: [...gpus], task, extra_kwargs: {} } as const
    const about = {
      id,
      request,
      gpuIds: gpus,
      state: 'bootstrapping',
      error: null,
      logPath: this.#deps.toLog(id),
    } as const
    records.replace({ version: 1, ...about, createdAt: stamp, updatedAt: stamp, bootId })
    this.#deps.leases.reserve(gpus, owner)
    if (life.phase.peek() === 'serving') this.#become(id)
  }

  async #explainAbsent(record: LaunchRecord): Promise<void> {
    const lines = await readLastLines(record.logPath, 2000)
    if (record.state === 'bootstrapping' && lines.length === 0) return
    this.#end(record.id, toVanished(diagnose(lines, undefined).problem))
  }
}

function toPause({ why, problem }: Extract<Resolved, { kind: 'waiting' }>): Pause {
  const found = /downloading, (\d+) %/.exec(why)?.[1]
  return { why, problem, percent: found === undefined ? undefined : Number(found) }
}
