// Takes the broker's orders (D5): turns them into its wish, and answers when the fleet has caught up with it.
// It starts and ends nothing itself: a stop or an up is only a wish, and `decide` does the rest.
import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { Refusal } from '../core/errors.ts'
import { until } from '../core/watch.ts'
import type { Files } from '../models/files.ts'
import { conflictRule, judgeConflict, type Turn } from './conflict.ts'
import { findMissing } from './find-missing.ts'
import {
  describeOther,
  describeUp,
  refuseBusy,
  refuseCancelled,
  refuseFailed,
  refuseHalted,
  refuseImpossible,
  refuseMissing,
} from './describe-orders.ts'
import type { Orders, UpOrder, UpStatus } from './orders.ts'
import type { Progress, Resolved } from './plan.ts'
import { fleetProblem } from './problems.ts'
import { type Ask, judgeEffective, pickCurrent, type Wish } from './wish.ts'
import type { WishBook } from './wishes.ts'

export type Report = { generation: number; progress: Progress }

export type DeskDeps = {
  book: WishBook
  bootId: string
  clock: Clock
  resolve: (ask: Ask) => Promise<Resolved>
  /** Resolves when the GPUs are counted, or will not be soon: before that, arguments cannot be compared (dtype). */
  whenCounted: () => Promise<void>
  /** Would both run the same engines? */
  isSameAsk: (one: Ask, other: Ask) => Promise<boolean>
  /** What the last pass of the loop made of the wishes, and which generation of them it had seen. */
  report: ReadonlySignal<Report>
  /** The arguments in which the two differ, in words; empty where they are told apart by something else. */
  differences: (one: Ask, other: Ask) => readonly string[]
  /** What is known of the files of that model. */
  filesOf: (ask: Ask) => ReadonlySignal<Files>
  /** Does any process of the node's engines run, does one load while none serves, and does one end? */
  engines: ReadonlySignal<{ alive: boolean; starting: boolean; ending: boolean }>
  /** An order is not a crash: forget the waits that crashes brought. */
  forgive: () => void
  /** The fleet ends. */
  abort: AbortSignal
}

/** One thing that is wanted, and everybody who waits for it. */
type Intent = {
  kind: 'run' | 'stop'
  startedAt: number
  cancelled: boolean
  /** What was stopped had failed. */
  overFailed: boolean
  /** An order that is to replace what ran before it. */
  replaces: boolean
  /** Aborted with the kind of what came after it. */
  ended: AbortController
}
type Taken = { intent: Intent; generation: number }

export class OrdersDesk implements Orders {
  readonly #deps: DeskDeps
  readonly #intent: Signal<Intent>
  readonly #generation = signal(0)
  readonly #conflict = signal<{ at: number; problem: Problem } | undefined>(undefined)
  readonly #judged = signal<Ask | undefined>(undefined)
  #turns: { at: number; ask: Ask }[] = []
  #accepting: Promise<unknown> = Promise.resolve()
  readonly upStatus: ReadonlySignal<UpStatus>
  readonly service: ReadonlySignal<'INFERENCE' | 'STOPPED'>

  constructor(deps: DeskDeps) {
    this.#deps = deps
    this.#intent = signal(this.#newIntent('run'))
    this.upStatus = computed(() => {
      const { kind, startedAt, cancelled } = this.#intent.value
      const elapsed = () => (deps.clock.now() - startedAt) / 1000
      // A stop of before a restart of the daemon shows in the wishes alone.
      const runs = kind === 'run' && judgeEffective(deps.book.wishes.value).kind !== 'stopped'
      return describeUp(runs ? deps.report.value.progress : cancelled ? 'cancelled' : 'stopped', elapsed)
    })
    this.service = computed(() =>
      judgeEffective(deps.book.wishes.value).kind === 'run' && deps.engines.value.alive ? 'INFERENCE' : 'STOPPED',
    )
  }

  /** Grows with each order; the loop reports which one it has seen. */
  get generation(): ReadonlySignal<number> {
    return this.#generation
  }

  /** The order that is looked at: its files are needed until it is taken or refused. */
  get judged(): ReadonlySignal<Ask | undefined> {
    return this.#judged
  }

  /** While API nodes are at odds: until an order is accepted, or 30 minutes after the last refused one. Follows in a computed. */
  conflict(): Problem | undefined {
    const found = this.#conflict.value
    return found && found.at > this.#deps.clock.now() - conflictRule.window ? found.problem : undefined
  }

  async up(order: UpOrder, caller: AbortSignal): Promise<void> {
    const { intent, generation } = await this.#take(order)
    await this.#whenServing(intent, generation, caller)
  }

  async upAsync(order: UpOrder): Promise<void> {
    await this.#take(order)
  }

  stop(): void {
    const { book, bootId, clock, report } = this.#deps
    const now = judgeEffective(book.wishes.peek())
    // A second stop must not prolong the grace of the first.
    if (now.kind === 'stopped') return
    const over = now.kind === 'run' && now.owner === 'broker' ? { over: now.ask } : {}
    const cancelled = this.#intent.peek().kind === 'run' && report.peek().progress.kind === 'starting'
    book.set('broker', { kind: 'stop', at: clock.wall(), bootId, ...over })
    this.#replace({ ...this.#newIntent('stop'), cancelled, overFailed: this.#hasFailed() })
  }

  /**
   * The operator's stop of the node: engines end at once, and their GPUs are free until he takes it back. It outranks the
   * broker, which would undo it within a minute: it orders what does not run again and again, by itself.
   */
  halt(): void {
    const { book, bootId, clock } = this.#deps
    book.set('operator', { kind: 'stop', at: clock.wall(), bootId })
    this.#replace({ ...this.#newIntent('stop'), overFailed: this.#hasFailed() })
  }

  /** The operator wants the node to run what it would run: the broker's last order, else the configuration's wish. */
  resume(): void {
    const { book, forgive } = this.#deps
    const { broker } = book.wishes.peek()
    if (broker?.kind === 'stop') book.set('broker', this.#toUnstopped(broker.over))
    book.set('operator', undefined)
    forgive()
    this.#want(false)
  }

  #toUnstopped(ask: Ask | undefined): Wish | undefined {
    const { clock, bootId } = this.#deps
    return ask && { kind: 'run', ask, at: clock.wall(), bootId }
  }

  /** One order after the other: what one decides, the next one finds. */
  #take(order: UpOrder): Promise<Taken> {
    const before = this.#generation.peek()
    const ask = toAsk(order)
    const taken = this.#accepting.then(() => {
      this.#judged.value = ask
      return this.#accept(ask, before)
    })
    this.#accepting = taken.catch(() => {}).then(() => void (this.#judged.value = undefined))
    return taken
  }

  async #accept(ask: Ask, before: number): Promise<Taken> {
    const { book, clock, resolve, forgive } = this.#deps
    if (ask.model.trim() === '') throw new Refusal('impossible-order', 400, 'the order names no model')
    await Promise.all([book.load(), this.#deps.whenCounted()])
    if (book.wishes.peek().operator?.kind === 'stop') throw refuseHalted(ask)
    const next = await resolve(ask)
    if (next.kind === 'impossible') throw refuseImpossible(ask, next.problem)
    const configured = book.wishes.peek().configuration
    const own = configured?.kind === 'run' && (await this.#deps.isSameAsk(ask, configured.ask))
    const current = pickCurrent(book.wishes.peek())
    const same = current !== undefined && (await this.#deps.isSameAsk(ask, current))
    const turns = await this.#readTurns(ask, current)
    const missing = same ? undefined : await this.#findMissing(ask)
    // A stop that came while we were looking came after the order.
    if (this.#intent.peek().kind === 'stop' && this.#generation.peek() > before) throw refuseCancelled(ask)
    if (current && !same) this.#refuseOther(ask, current, turns)
    if (current && missing) throw this.#refuseMissing(ask, current, missing)
    if (current && !same) this.#turns = [...this.#turns, { at: clock.now(), ask }].slice(-16)
    this.#conflict.value = undefined
    book.set('broker', own ? undefined : { kind: 'run', ask, at: clock.wall(), bootId: this.#deps.bootId })
    forgive()
    return this.#want(same)
  }

  /** @throws Refusal 409 where another order has to stand back */
  #refuseOther(ask: Ask, current: Ask, turns: readonly Turn[]): void {
    const { clock } = this.#deps
    if (this.#isStarting()) throw refuseBusy(ask, current)
    // What cannot run is not kept: the node would serve nothing although it could.
    if (this.#hasFailed() || !judgeConflict(turns, clock.now())) return
    const evidence = `${describeOther(ask, current, this.#deps.differences)}, in turn, within 30 minutes`
    const problem = fleetProblem('orders-conflict', evidence)
    this.#conflict.value = { at: clock.now(), problem }
    this.#keepCurrent(current)
    throw new Refusal('orders-conflict', 409, `orders conflict: ${evidence}`, { remedy: problem.remedy })
  }

  /** Also between the end of the old engines and the start of those that replace them. */
  #isStarting(): boolean {
    const { engines, report } = this.#deps
    const { kind, replaces } = this.#intent.peek()
    const { starting, ending } = engines.peek()
    if (kind !== 'run') return false
    const { generation, progress } = report.peek()
    const isUnseen = generation < this.#generation.peek()
    return starting || (replaces && (isUnseen || (ending && progress.kind === 'starting')))
  }

  /** Only where engines would be given up for it. */
  async #findMissing(ask: Ask): Promise<Problem | undefined> {
    const { filesOf, engines, abort } = this.#deps
    return engines.peek().alive ? findMissing(filesOf(ask), abort) : undefined
  }

  /** What runs goes on: whoever orders what cannot be had shall not lose what he has. */
  #refuseMissing(ask: Ask, current: Ask, problem: Problem): Refusal {
    this.#keepCurrent(current)
    return refuseMissing(ask, problem)
  }

  /** What is wanted now, or was before it was stopped, cannot be run. */
  #hasFailed(): boolean {
    const { generation, progress } = this.#deps.report.peek()
    const { kind, overFailed } = this.#intent.peek()
    return kind === 'stop' ? overFailed : generation >= this.#generation.peek() && progress.kind === 'failed'
  }

  /** The stop that came before a refused order belonged to it: what it parked goes on. */
  #keepCurrent(current: Ask): void {
    const { book } = this.#deps
    const { broker } = book.wishes.peek()
    if (broker?.kind !== 'stop') return
    book.set('broker', this.#toUnstopped(broker.over && current))
    this.#want(false)
  }

  async #readTurns(next: Ask, current: Ask | undefined): Promise<Turn[]> {
    const turns: Turn[] = []
    for (const { at, ask } of this.#turns) {
      const isCurrent = current !== undefined && (await this.#deps.isSameAsk(ask, current))
      turns.push({ at, to: isCurrent ? 'current' : (await this.#deps.isSameAsk(ask, next)) ? 'next' : 'other' })
    }
    return turns
  }

  /** The same order again joins those who wait for it, whatever has become of it meanwhile. */
  #want(same: boolean): Taken {
    const old = this.#intent.peek()
    const fresh = this.#newIntent('run')
    const joined = same && old.kind === 'run'
    const started = joined && this.upStatus.peek().isStarting
    fresh.replaces = joined ? old.replaces : !same
    this.#replace(joined ? { ...fresh, ended: old.ended, ...(started && { startedAt: old.startedAt }) } : fresh)
    return { intent: this.#intent.peek(), generation: this.#generation.peek() }
  }

  #replace(intent: Intent): void {
    const old = this.#intent.peek()
    this.#intent.value = intent
    this.#generation.value += 1
    if (old.ended !== intent.ended) old.ended.abort(intent.kind)
  }

  #newIntent(kind: Intent['kind']): Intent {
    return {
      kind,
      startedAt: this.#deps.clock.now(),
      cancelled: false,
      overFailed: false,
      replaces: false,
      ended: new AbortController(),
    }
  }

  async #whenServing(intent: Intent, generation: number, caller: AbortSignal): Promise<void> {
    const { report, abort } = this.#deps
    const isDecided = ({ generation: seen, progress }: Report) =>
      seen >= generation && (progress.kind === 'failed' || (progress.kind === 'serving' && !progress.assumed))
    const seen = await until(report, isDecided, AbortSignal.any([caller, intent.ended.signal, abort])).catch(
      (error: unknown) => {
        if (caller.aborted) throw error
        throw abort.aborted
          ? new Refusal('node-ending', 503, 'start not waited for: the node is ending')
          : refuseCancelled(undefined, intent.ended.signal.reason === 'run' ? 'another order' : 'a stop')
      },
    )
    if (seen.progress.kind === 'failed') throw refuseFailed(seen.progress.problem)
  }
}

function toAsk(order: UpOrder): Ask {
  return { model: order.model, dtype: order.dtype, args: [...order.additionalArgs] }
}
