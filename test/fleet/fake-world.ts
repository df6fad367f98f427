// Engines in memory that outlive the fleets that watch them, and the GPUs they hold: shows at once when a GPU is given twice or
// a model loaded twice.
import { signal, type Signal } from '@preact/signals-core'
import type { Problem } from '../../src/api/status.ts'
import type { DeadEngine, End, EngineLife, EngineSpec, Phase, Progress } from '../../src/engine/life.ts'
import { equivalent } from '../../src/engine/args.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { toGroup } from '../../src/fleet/wish.ts'
import type { Lives } from '../../src/fleet/lives.ts'

type FakeEngine = { id: string; spec: EngineSpec; phase: Phase; watchers: Set<FakeLife>; memoryKept?: boolean }
type FakeLife = {
  life: EngineLife
  problem: Signal<Problem | undefined>
  cause: Signal<Problem | undefined>
  show: (phase: Phase, end?: { end: End; problem?: Problem }) => void
}

export const keptProblem: Problem = { code: 'gpu-memory-kept', title: 'kept', evidence: 'GPU 0', remedy: 'reboot' }

export const crashProblem: Problem = { code: 'cuda-oom-test', title: 'crashed', evidence: 'boom', remedy: 'none' }

export class FakeWorld {
  readonly engines: FakeEngine[] = []
  /** Everything that must never happen. */
  readonly wrongs: string[] = []
  /** Every launch, in order. */
  readonly launches: EngineSpec[] = []
  /** Whether an engine that is asked to end does so at once. */
  endsAtOnce = true
  /** Whether it is known at once why an engine crashed; else `explain()` tells it. */
  explainsAtOnce = true
  /** What the next daemon is told of engines that died while none was there. */
  readonly dead = new Map<string, DeadEngine>()
  readonly #unexplained: (() => void)[] = []
  #count = 0

  lives(): Lives {
    return {
      start: (spec) => this.#start(spec),
      adopt: () => Promise.resolve(this.alive().map((engine) => this.#attach(engine, true))),
      trouble: signal(undefined),
      dead: this.dead,
    }
  }

  alive(): FakeEngine[] {
    return this.engines.filter((one) => one.phase !== 'gone')
  }

  /** All that load become ready. */
  ready(): void {
    for (const one of this.alive()) if (one.phase === 'launching' || one.phase === 'loading') this.#set(one, 'serving')
  }

  crash(engine: FakeEngine, problem: Problem = crashProblem): void {
    const end = { end: { why: 'exited', code: 0 }, problem } as const
    if (this.explainsAtOnce) return this.#set(engine, 'gone', end)
    const watchers = [...engine.watchers]
    this.#set(engine, 'gone')
    this.#unexplained.push(() => {
      for (const one of watchers) one.show('gone', end)
    })
  }

  /** It crashed, and its GPU memory does not come back, which is a problem by now. */
  keepMemory(engine: FakeEngine): void {
    const asked = engine.phase === 'ending'
    this.#set(engine, 'ending')
    for (const one of engine.watchers) {
      if (!asked) one.cause.value = crashProblem
      one.problem.value = keptProblem
    }
  }

  memoryBack(engine: FakeEngine): void {
    for (const one of engine.watchers) one.problem.value = undefined
    this.#set(engine, 'gone', { end: { why: 'exited', code: 1 }, problem: crashProblem })
  }

  explain(): void {
    for (const tell of this.#unexplained.splice(0)) tell()
  }

  /** Those that were asked to end do so. */
  finishEnding(): void {
    for (const one of this.alive()) if (one.phase === 'ending') this.#set(one, 'gone', { end: { why: 'asked' } })
  }

  #start(spec: EngineSpec): EngineLife {
    for (const other of this.alive()) {
      const shared = other.spec.gpus.filter((gpu) => spec.gpus.includes(gpu))
      if (shared.length > 0) this.wrongs.push(`GPU ${shared.join()} of ${other.id} was given to another engine`)
      if (other.spec.port === spec.port) this.wrongs.push(`port ${spec.port} was given twice`)
      const sameGroup = toGroup(other.spec.owner) === toGroup(spec.owner)
      const same = sameGroup && other.spec.slot === spec.slot && other.spec.model === spec.model
      if (same && other.phase !== 'ending' && equivalent(other.spec.args, spec.args, 'bfloat16'))
        this.wrongs.push(`${spec.model} is loaded twice in slot ${spec.slot}`)
    }
    this.launches.push(spec)
    this.#count += 1
    const engine: FakeEngine = { id: `fake-${spec.slot}-${this.#count}`, spec, phase: 'loading', watchers: new Set() }
    this.engines.push(engine)
    return this.#attach(engine, false)
  }

  #attach(engine: FakeEngine, adopted: boolean): EngineLife {
    const { spec, id } = engine
    const phase = signal<Phase>(engine.phase)
    const { promise: ended, resolve } = Promise.withResolvers<{ end: End; problem?: Problem }>()
    const upstream = new Upstream({
      id,
      slot: spec.slot,
      port: spec.port,
      model: spec.model,
      hasPoc: true,
      state: 'loading',
    })
    const problem = signal<Problem | undefined>(undefined)
    const cause = signal<Problem | undefined>(undefined)
    let parked = false
    const view = () => {
      const now = phase.peek()
      upstream.state.value = now === 'launching' ? 'loading' : now === 'serving' && parked ? 'parked' : now
    }
    const life: EngineLife = {
      id,
      spec,
      upstream,
      phase,
      progress: signal<Progress>({ stage: 'loading weights', percent: 50 }),
      problem,
      pid: 4711,
      adopted,
      logPath: '/dev/null',
      startedAt: new Date(0),
      since: signal(new Date(0)),
      cause,
      park: () => {
        parked = true
        view()
      },
      unpark: () => {
        parked = false
        view()
      },
      stop: async () => {
        if (engine.phase !== 'gone') this.#set(engine, 'ending')
        if (this.endsAtOnce) this.#set(engine, 'gone', { end: { why: 'asked' } })
        return (await ended).end
      },
      leave: () => {
        engine.watchers.delete(watcher)
        resolve({ end: { why: 'left' } })
      },
      letGo: () => {
        engine.memoryKept = true
        this.#set(engine, 'gone', { end: { why: 'exited', code: 1 }, problem: crashProblem })
      },
      get memoryKept() {
        return engine.memoryKept ?? false
      },
      ended,
    }
    const watcher: FakeLife = {
      life,
      problem,
      cause,
      show: (next, end) => {
        phase.value = next
        view()
        if (end) resolve(end)
      },
    }
    engine.watchers.add(watcher)
    view()
    return life
  }

  #set(engine: FakeEngine, phase: Phase, end?: { end: End; problem?: Problem }): void {
    if (engine.phase === 'gone') return
    engine.phase = phase
    for (const one of engine.watchers) one.show(phase, end)
  }
}
