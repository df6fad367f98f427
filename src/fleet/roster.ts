// The engines that live now, and what ended before. Carries out the steps that decide() made; decides nothing itself.
import { batch, signal, type ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { watch } from '../core/watch.ts'
import { judgeRetry } from '../engine/diagnose.ts'
import type { End } from '../engine/life.ts'
import type { Observed, Step } from './decide.ts'
import type { Leases } from './leases.ts'
import type { EngineLife, EngineSpec, Lives } from './lives.ts'
import type { EnginePlan } from './plan.ts'
import { fleetProblem, toVanished } from './problems.ts'
import { toLaunchId } from './launch-record.ts'
import { type Failure, recordFailure } from './restart-policy.ts'
import { toGroup } from './wish.ts'

export type Member = {
  life: EngineLife
  plan: EnginePlan
  parked: boolean
  restarts: number
}

/** The node's own, which upstreams, PoC and status are about; launches are beside them. */
export const isOfNode = ({ plan }: Member): boolean => toGroup(plan.owner) === 'node'

export type RosterDeps = {
  lives: Lives
  leases: Leases
  clock: Clock
  random: () => number
  log: Log
  isSame: (one: EnginePlan, other: EnginePlan) => boolean
  /** The plan that an adopted engine was launched by. */
  recall: (spec: EngineSpec) => EnginePlan
  launches?: LaunchEvents
}

/** Engines of launches are not started again: what becomes of them is the launch's affair. */
export type LaunchEvents = {
  /** Started or adopted. */
  began(launch: string, life: EngineLife): void
  /** Proved gone and its lease ended, or it could not be started. @param problem where nobody asked for it */
  ended(launch: string, problem: Problem | undefined): void
}

/** ms. Whoever orders again within it gets the answer of the last try. */
const triedJustNow = 30_000

type History = { plan: EnginePlan; failures: Failure[]; starts: number }

export class Roster {
  readonly #deps: RosterDeps
  readonly #members = signal<readonly Member[]>([])
  readonly #history = new Map<string, History>()

  constructor(deps: RosterDeps) {
    this.#deps = deps
  }

  get members(): ReadonlySignal<readonly Member[]> {
    return this.#members
  }

  /** As decide() sees them. One that is gone still ends until it is known why: what comes next depends on it. */
  observe(): Observed[] {
    return this.#members.peek().map(({ life, plan, parked }) => {
      const phase = life.phase.peek()
      const memoryKept = phase === 'ending' && life.problem.peek()?.code === 'gpu-memory-kept'
      return { id: life.id, phase: phase === 'gone' ? 'ending' : phase, parked, plan, memoryKept }
    })
  }

  adopt(lives: readonly EngineLife[]): void {
    for (const life of lives) {
      if (this.#members.peek().some((one) => one.life.id === life.id)) continue
      if (!this.#deps.leases.take(life.spec.gpus, life.id, toGroup(life.spec.owner)))
        this.#deps.log.error({ life: life.id, gpus: life.spec.gpus }, 'two engines live on the same GPU')
      const plan = this.#deps.recall(life.spec)
      this.#historyOf(plan).starts += 1
      this.#enrol(life, plan)
    }
  }

  start(spec: EngineSpec, plan: EnginePlan): void {
    const { lives, leases, log } = this.#deps
    const group = toGroup(plan.owner)
    if (!leases.isFree(plan.gpus, group)) throw new Error(`GPUs ${plan.gpus.join(', ')} are leased already`)
    const life = lives.start(spec)
    leases.take(plan.gpus, life.id, group)
    const history = this.#historyOf(plan)
    history.starts += 1
    log.info({ life: life.id, slot: plan.slot, gpus: plan.gpus, port: spec.port, model: plan.model }, 'engine starts')
    this.#enrol(life, plan)
  }

  act(step: Exclude<Step, { do: 'start' }>): void {
    if (step.do === 'wait' || step.do === 'keep') return
    const member = this.#members.peek().find((one) => one.life.id === step.id)
    if (!member) return
    const { life } = member
    switch (step.do) {
      case 'park':
        life.park()
        return this.#change(life, { parked: true })
      case 'unpark':
        life.unpark()
        return this.#change(life, { parked: false })
      case 'let-go':
        this.#deps.log.warn({ life: step.id }, 'GPU memory is waited for no longer')
        return life.letGo()
      case 'stop':
        this.#deps.log.info({ life: step.id, why: step.why }, 'engine is ended')
        void life.stop({ drain: step.drain })
    }
  }

  /** An end that nobody asked for (D3), or a start that did not come about. @param servedFor ms */
  fail(plan: EnginePlan, problem: Problem, servedFor = 0): void {
    const { clock, random, log } = this.#deps
    const launch = toLaunchId(plan.owner)
    if (launch !== undefined) {
      log.warn({ launch, problem }, 'launch failed')
      return this.#deps.launches?.ended(launch, problem)
    }
    const history = this.#historyOf(plan)
    const failure = {
      at: clock.now(),
      wall: clock.wall(),
      servedFor,
      retry: judgeRetry(problem.code),
      problem,
      random: random(),
    }
    history.failures = recordFailure(history.failures, failure)
    log.warn({ slot: plan.slot, problem, servedFor }, 'engine failed')
  }

  /** Failures of that slot since its plan or its files changed. */
  failures(plan: EnginePlan): readonly Failure[] {
    if (toLaunchId(plan.owner) !== undefined) return []
    return this.#historyOf(plan).failures
  }

  restarts(plan: EnginePlan): number {
    return Math.max(0, this.#historyOf(plan).starts - 1)
  }

  /** The files of the models came anew: what was pointless before may work now. */
  forgetFailures(): void {
    for (const history of this.#history.values()) history.failures = []
  }

  /** An order starts at once what only waits. What seemed pointless to try is tried once more, but not in a row. */
  forgive(group: string): void {
    for (const history of this.#history.values()) {
      const last = history.failures.at(-1)
      if (toGroup(history.plan.owner) !== group || !last) continue
      const isPointless = last.retry === 'never' || last.retry === 'host'
      if (!isPointless || this.#deps.clock.now() - last.at >= triedJustNow) history.failures = []
    }
  }

  #enrol(life: EngineLife, plan: EnginePlan): void {
    const { clock } = this.#deps
    const launch = toLaunchId(plan.owner)
    const watching = new AbortController()
    let servingSince: number | undefined
    watch(
      life.phase,
      (phase) => {
        if (phase === 'serving') servingSince ??= clock.now()
      },
      watching.signal,
    )
    this.#members.value = [...this.#members.peek(), { life, plan, parked: false, restarts: this.restarts(plan) }]
    if (launch !== undefined) this.#deps.launches?.began(launch, life)
    const servedFor = () => (servingSince === undefined ? 0 : clock.now() - servingSince)
    void life.ended.then(({ end, problem }) => {
      watching.abort()
      // Left: it runs on for the next daemon, and so does its lease.
      if (end.why === 'left') return
      const failed = toFailure(end, problem, launch !== undefined)
      if (launch !== undefined) {
        this.#history.delete(toKey(plan))
        // Whoever is told of the end finds the GPUs free, and nobody sees one without the other.
        return batch(() => {
          this.#strike(life)
          if (failed) this.fail(plan, failed)
          else this.#deps.launches?.ended(launch, undefined)
        })
      }
      if (failed) this.fail(plan, failed, servedFor())
      this.#strike(life)
    })
  }

  /** Proved gone: its GPUs are free, or the node goes on there. */
  #strike(life: EngineLife): void {
    const { leases } = this.#deps
    leases.release(life.id, life.memoryKept)
    this.#members.value = this.#members.peek().filter((one) => one.life !== life)
  }

  #change(life: EngineLife, to: Partial<Member>): void {
    this.#members.value = this.#members.peek().map((one) => (one.life === life ? { ...one, ...to } : one))
  }

  #historyOf(plan: EnginePlan): History {
    const key = toKey(plan)
    const found = this.#history.get(key)
    if (found && this.#deps.isSame(found.plan, plan) && found.plan.modelPath === plan.modelPath) return found
    const fresh = { plan, failures: [], starts: 0 }
    this.#history.set(key, fresh)
    return fresh
  }
}

const toKey = (plan: EnginePlan) => `${toGroup(plan.owner)}/${plan.slot}`

/** What ended while no daemon was there counts towards no crash loop of the node; a launch has failed by it. */
function toFailure(end: End, problem: Problem | undefined, isLaunch: boolean): Problem | undefined {
  if (end.why === 'asked') return undefined
  if (end.why === 'found-dead') return isLaunch ? toVanished(end.problem) : undefined
  return problem ?? toProblem(end)
}

function toProblem(end: { why: string; code?: number | undefined; problem?: Problem }): Problem {
  if (end.problem) return end.problem
  return fleetProblem('engine-failed', end.code === undefined ? 'it vanished' : `exit status ${end.code}`)
}
