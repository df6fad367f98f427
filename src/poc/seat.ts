// One engine in the rounds: told its group as soon as it serves, looked at while it mines, told again when it stopped by itself.
//
//   idle ──tell──> telling ──200, or 409 for this very group──> mining ──IDLE although the round goes on──> failing ──> telling
//                     └──409, 4xx: refused, until another round    └── 5xx, no answer: failing, with backoff ──> telling
import { computed, type ReadonlySignal, signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'
import { defaultBackoff, judgeBackoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { EngineCalls } from './engine-calls.ts'
import { lookAt, type Seen } from './look.ts'
import { describeProblem } from './problems.ts'
import { type Growth, lookEvery, noGrowth, noteStats, type PocPace } from './progress.ts'
import { groupOf, isSameRound, type Round } from './round.ts'
import { sendInit, sendStop, type Told } from './send.ts'

export type SeatState =
  | { kind: 'idle' }
  | { kind: 'telling'; roundId: string }
  | { kind: 'mining'; roundId: string; growth: Growth; trouble?: Problem }
  | { kind: 'failing'; roundId: string; problem: Problem; failures: number; notBefore: number }
  | { kind: 'refused'; roundId: string; problem: Problem }

type Mining = SeatState & { kind: 'mining' }

export type SeatDeps = {
  calls: EngineCalls
  round: ReadonlySignal<Round | undefined>
  profile: () => ProfileName | undefined
  /** The callback url that the engine of this slot is told. */
  urlFor: (round: Round, slot: number) => string | undefined
  log: Log
  clock: Clock
  pace: PocPace
  /** Ends the seat; the engine goes on. */
  abort: AbortSignal
}

export interface Seat {
  readonly upstream: Upstream
  readonly state: ReadonlySignal<SeatState>
  /** The round that the engine took last and was not stopped in since; it goes on with it where it refuses the next one. */
  taken(): Round | undefined
  /** Makes the engine mine its group of the present round, once, whoever asks. Never rejects; takes up to a minute. */
  tell(round: Round): Promise<Told>
  /** Stops mining and clears the engine's queue. Undefined: it stopped; a text says why not. Never rejects. */
  hush(): Promise<string | undefined>
  readonly ended: Promise<void>
}

/** An engine whose PoC task ends at once is not started again in a tight loop. */
const backoff = { ...defaultBackoff, first: 1000, cap: 30_000 }

export function startSeat(upstream: Upstream, deps: SeatDeps): Seat {
  const state = signal<SeatState>({ kind: 'idle' })
  const inTurn = createTurns()
  let pending: { roundId: string; told: Promise<Told> } | undefined
  let taken: Round | undefined

  function tell(round: Round): Promise<Told> {
    const known = state.peek()
    if (pending?.roundId === round.id) return pending.told
    if (known.kind === 'mining' && known.roundId === round.id) return Promise.resolve({ kind: 'mining' })
    const mine = { roundId: round.id, told: inTurn(() => tellNow(round)) }
    pending = mine
    void mine.told.finally(() => {
      if (pending === mine) pending = undefined
    })
    return mine.told
  }

  async function tellNow(round: Round): Promise<Told> {
    if (deps.round.peek()?.id !== round.id) return { kind: 'refused', error: 'the round is over' }
    const before = state.peek()
    state.value = { kind: 'telling', roundId: round.id }
    const told = await sendInit(upstream, round, {
      ...deps,
      replaces: taken !== undefined && !isSameRound(taken, round),
    })
    if (told.kind === 'mining') taken = round
    state.value = judgeTold(upstream, told, before, { roundId: round.id, now: deps.clock.now() })
    if (told.kind !== 'mining') deps.log.warn({ port: upstream.port, error: told.error }, 'engine does not mine')
    return told
  }

  async function look(round: Round, known: Mining): Promise<void> {
    const seen = await lookAt(upstream, deps)
    // A stop or another round that came meanwhile knows better.
    if (state.peek() !== known || deps.round.peek()?.id !== round.id) return
    state.value = judgeLook(upstream, known, seen, deps.clock.now())
    if (seen.kind === 'other') deps.log.warn({ port: upstream.port, status: seen.status }, 'engine stopped mining')
  }

  async function pass(): Promise<void> {
    const round = deps.round.peek()
    if (!round || upstream.state.peek() !== 'serving' || !groupOf(round, upstream.slot)) return
    const known = state.peek()
    if (known.kind === 'mining' && known.roundId === round.id) return look(round, known)
    if (!isAnswered(known, round, deps.clock.now())) await tell(round)
  }

  const wake = computed(() => `${upstream.state.value} ${deps.round.value?.id ?? ''}`)
  const every = () => lookEvery(deps.pace, deps.round.peek())
  const { ended } = startLoop(`poc ${upstream.port}`, pass, { ...deps, every, wake })
  return {
    upstream,
    state,
    taken: () => taken,
    tell,
    hush: () =>
      inTurn(async () => {
        const failed = await sendStop(upstream, deps)
        taken = undefined
        state.value = judgeHushed(state.peek(), deps.round.peek())
        return failed
      }),
    ended,
  }
}

function judgeTold(
  { port }: Upstream,
  told: Told,
  before: SeatState,
  { roundId, now }: { roundId: string; now: number },
): SeatState {
  if (told.kind === 'mining') return { kind: 'mining', roundId, growth: noGrowth(now) }
  const evidence = `engine ${port}: ${told.error}`
  if (told.kind === 'refused')
    return { kind: 'refused', roundId, problem: describeProblem('poc-init-refused', evidence) }
  const failures = before.kind === 'failing' && before.roundId === roundId ? before.failures + 1 : 1
  return failing(roundId, describeProblem('poc-init-failed', evidence), failures, now)
}

/** It has refused this round, or is asked again later. */
const isAnswered = (known: SeatState, round: Round, now: number): boolean =>
  (known.kind === 'refused' || (known.kind === 'failing' && now < known.notBefore)) && known.roundId === round.id

/** What it refused it is not asked again. */
const judgeHushed = (known: SeatState, round: Round | undefined): SeatState =>
  known.kind === 'refused' && known.roundId === round?.id ? known : { kind: 'idle' }

function judgeLook({ port }: Upstream, known: Mining, seen: Seen, now: number): SeatState {
  const { roundId, growth } = known
  if (seen.kind === 'generating') return { kind: 'mining', roundId, growth: noteStats(growth, seen, now) }
  if (seen.kind === 'unknown')
    return { ...known, trouble: describeProblem('poc-status-unknown', `engine ${port}: ${seen.error}`) }
  const evidence = `engine ${port} says ${seen.status} after ${growth.total} nonces, and nobody stopped it`
  // Ended before it computed anything: the next one likely does, too.
  return failing(roundId, describeProblem('poc-generation-ended', evidence), growth.total > 0 ? 1 : 4, now)
}

function failing(roundId: string, problem: Problem, failures: number, now: number): SeatState {
  const notBefore = now + judgeBackoff(backoff, failures, Math.random())
  return { kind: 'failing', roundId, problem, failures, notBefore }
}

/** One call after another, so that a stop never overtakes the init that it is meant for. */
function createTurns(): <T>(job: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (job) => {
    const mine = last.then(job)
    last = mine.catch(() => {})
    return mine
  }
}
