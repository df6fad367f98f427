// The present round and the engines in it: begins, goes on, ends.
import { randomUUID } from 'node:crypto'
import { type ReadonlySignal, signal } from '@preact/signals-core'
import type { PocError, PocInit, PocInitAnswer, PocStopAnswer } from '../api/mlnode-poc.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { CallbackRelay } from './relay.ts'
import { competes, isSameRound, isStale, type Round, type Share } from './round.ts'
import type { RoundStore } from './round-store.ts'
import type { Seat } from './seat.ts'
import { describeOther, type Told } from './send.ts'

export type InitOutcome =
  | { kind: 'mining'; answer: PocInitAnswer }
  /**
   * No engine took it (yet). conflict: each of them answered 409. What all of them refuse leaves the round before it as it was;
   * what failed otherwise is repeated as long as the round lasts.
   */
  | { kind: 'failed'; errors: PocError[]; conflict: boolean }
  | { kind: 'no-backends' }

export interface Rounds {
  readonly round: ReadonlySignal<Round | undefined>
  /** Goes on with what an earlier daemon left, unless somebody said something newer meanwhile. */
  resume(): Promise<void>
  begin(request: PocInit, share: Share): Promise<InitOutcome>
  /** Ends the round and stops every engine, parked ones too. */
  stop(): Promise<PocStopAnswer>
  /** The API node's answer does not wait for it. */
  end(why: string): void
}

export type RoundsDeps = {
  fleet: Pick<Fleet, 'planned'>
  /** Of the engines alive, by slot; loading ones too. */
  seats: () => readonly Seat[]
  store: RoundStore
  relay: CallbackRelay
  bootId: string
  log: Log
  clock: Clock
}

/** Nothing of the MLNode API answers later than 5 s; calls that take longer go on behind it. */
const answerBound = 4500

export function createRounds(deps: RoundsDeps): Rounds {
  const held = holdRound(deps)
  const { round } = held

  async function begin(request: PocInit, share: Share): Promise<InitOutcome> {
    await Promise.all([deps.relay.ready, held.resume()])
    const ready = deps.seats().filter(isServing)
    const next = planRound(request, share, deps, ready)
    const now = round.peek()
    const same = now !== undefined && isSameRound(now, next)
    if (ready.length === 0) {
      if (now && !same && isLater(now, next)) held.drop('another was asked for')
      return { kind: 'no-backends' }
    }
    if (now && !same && isBusy(ready) && (competes(now.request, request) || isStale(now.request, request))) {
      const clash: Told = { kind: 'refused', error: describeOther(now.request), status: 409 }
      return toOutcome(ready, Array(ready.length).fill(clash), next)
    }
    const chosen = same ? now : next
    if (!same) held.offer(chosen)
    return tellAll(ready, chosen)
  }

  async function tellAll(ready: readonly Seat[], chosen: Round): Promise<InitOutcome> {
    const tells = ready.map((seat) => seat.tell(chosen))
    const concluded = Promise.all(tells).then((told) => conclude(ready, told, chosen))
    const told = await Promise.all(tells.map((one) => soon(one, deps.clock)))
    if (told.every((one) => one !== undefined)) await concluded
    else if (told.some((one) => one?.kind === 'mining')) held.settle(chosen)
    return toOutcome(ready, told, chosen)
  }

  /** When every engine has answered: who wins, the new round or the one that it was to replace. */
  function conclude(ready: readonly Seat[], told: readonly Told[], chosen: Round): void {
    if (round.peek()?.id !== chosen.id) return
    if (told.every((one) => one.kind === 'refused')) {
      const taken = ready.map((seat) => seat.taken()).find((one) => one && !isSameRound(one, chosen))
      return held.fallBack(chosen, taken)
    }
    held.settle(chosen)
    if (!told.some((one) => one.kind === 'mining')) return
    // What an engine goes on with that refuses a round which others took is over.
    for (const [at, seat] of ready.entries()) {
      const old = seat.taken()
      if (told[at]?.kind === 'refused' && old && !isSameRound(old, chosen)) void seat.hush()
    }
  }

  return {
    round,
    begin,
    resume: () => held.resume(),
    stop() {
      held.drop('stop')
      return hushAll(deps.seats(), deps.clock)
    },
    end(why) {
      held.drop(why)
      void hushAll(deps.seats(), deps.clock)
    },
  }
}

/** The round in memory and on disk: the only place that assigns it (D12). */
function holdRound({ store, relay, log }: RoundsDeps) {
  const round = signal<Round | undefined>(undefined)
  /** What the engines go back to when all of them refuse the present one. */
  let settled: Round | undefined
  let resuming: Promise<void> | undefined
  let untouched = true

  function assign(next: Round | undefined, why: string): void {
    const old = round.peek()
    untouched = false
    if (old?.id === next?.id) return
    log.info({ round: next?.id, before: old?.id, block: next?.request.block_height, engines: next?.engines }, why)
    relay.reset()
    // The engines first, the disk behind them.
    round.value = next
  }

  async function read(): Promise<void> {
    const found = await store.read()
    if (!found || !untouched) return
    assign(found, 'PoC round goes on')
    settled = found
  }

  return {
    round,
    resume: () => (resuming ??= read()),
    /** Asked for; whether it stays is known when the engines have answered. */
    offer: (next: Round) => assign(next, 'PoC round begins'),
    settle(next: Round): void {
      if (round.peek()?.id !== next.id || settled?.id === next.id) return
      settled = next
      store.save(next)
    },
    /** @param taken what engines go on with, where nothing is settled; without any the refused one is shown until another comes */
    fallBack(from: Round, taken: Round | undefined): void {
      const back = settled ?? taken
      if (back && back.id !== from.id)
        assign(back, 'PoC round goes on: every engine refuses the one that was to replace it')
      store.save(back ?? from)
    },
    drop(why: string): void {
      // What an earlier daemon left on disk is over too, read or not.
      const isKnown = untouched || round.peek() !== undefined
      assign(undefined, `PoC round ends: ${why}`)
      settled = undefined
      if (isKnown) store.save(undefined)
    },
  }
}

/** While no engine serves nobody can say whether the request is right: only a later block of the same model ends a round. */
const isLater = ({ request: now }: Round, { request: next }: Round): boolean =>
  !isStale(now, next) && !competes(now, next) && now.params.model === next.params.model

const isBusy = (seats: readonly Seat[]) => seats.some(({ state }) => ['mining', 'telling'].includes(state.peek().kind))
const isServing = (seat: Seat) => seat.upstream.state.peek() === 'serving'

function planRound(request: PocInit, share: Share, deps: RoundsDeps, ready: readonly Seat[]): Round {
  const planned = deps.fleet.planned.peek()
  // An engine beyond the plan that serves all the same gets a group too, or its nonces would be somebody else's.
  const highest = Math.max(0, ...ready.map((seat) => seat.upstream.slot + 1))
  return {
    id: randomUUID(),
    bootId: deps.bootId,
    startedAt: new Date(deps.clock.wall()).toISOString(),
    model: planned?.model ?? ready[0]?.upstream.model ?? request.params.model,
    engines: Math.max(planned?.instances ?? 0, highest, 1),
    share,
    request,
  }
}

function toOutcome(seats: readonly Seat[], told: readonly (Told | undefined)[], round: Round): InitOutcome {
  const ports = seats.map((seat) => seat.upstream.port)
  const results = ports.flatMap((port, at) => (told[at]?.kind === 'mining' ? [{ port, status: 'OK' as const }] : []))
  const errors = ports.flatMap((port, at) => {
    const one = told[at]
    if (one?.kind === 'mining') return []
    return [{ port, error: one?.error ?? `no answer within ${answerBound / 1000} s; the engine is still being asked` }]
  })
  const conflict = told.every((one) => one?.kind === 'refused' && one.status === 409)
  if (results.length === 0) return { kind: 'failed', errors, conflict }
  return {
    kind: 'mining',
    answer: {
      status: 'OK',
      backends: results.length,
      n_groups: round.engines * round.share.of,
      results,
      errors: errors.length > 0 ? errors : null,
    },
  }
}

async function hushAll(all: readonly Seat[], clock: Clock): Promise<PocStopAnswer> {
  const seats = all.filter(({ upstream }) => ['serving', 'parked'].includes(upstream.state.peek()))
  if (seats.length === 0) return { status: 'OK', message: 'No backends to stop' }
  const ends = await Promise.all(
    seats.map(async (seat) => {
      const ended = await soon(
        seat.hush().then((failed) => ({ failed })),
        clock,
      )
      const late = `no answer within ${answerBound / 1000} s; the engine is still being stopped`
      return { port: seat.upstream.port, error: ended ? ended.failed : late }
    }),
  )
  const errors = ends.flatMap(({ port, error }) => (error === undefined ? [] : [{ port, error }]))
  const results = ends.flatMap(({ port, error }) => (error === undefined ? [{ port, status: 'stopped' as const }] : []))
  return { status: 'OK', results, errors: errors.length > 0 ? errors : null }
}

/** The value, or undefined when it takes longer than an answer may. */
async function soon<T>(promise: Promise<T>, clock: Clock): Promise<T | undefined> {
  const rest = new AbortController()
  try {
    return await Promise.race([promise, clock.wait(answerBound, rest.signal).then(() => undefined)])
  } finally {
    rest.abort()
  }
}
