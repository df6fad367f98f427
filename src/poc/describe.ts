// How PoC is: one line per engine and the worst of it. Facts in, status out. Pure.
import type { Health, PartStatus, Problem } from '../api/status.ts'
import type { Planned } from '../fleet/fleet.ts'
import { describeProblem } from './problems.ts'
import { type Deliveries, judgeDeliveries, judgeGrowth, type PocPace } from './progress.ts'
import { groupOf, type Round } from './round.ts'
import type { SeatState } from './seat.ts'

export type SeatFacts = {
  slot: number
  port: number
  /** Whether the engine takes requests. */
  serving: boolean
  state: SeatState
  deliveries: Deliveries
  logLine?: string | undefined
}

export type PocFacts = {
  planned: Planned | undefined
  round: Round | undefined
  /** Monotonic ms since when the round is known to this daemon. */
  roundAt: number
  seats: readonly SeatFacts[]
  relayed: boolean
  saveFailure: string | undefined
  now: number
  pace: PocPace
}

export type PocView = { health: Health; summary: string; problem?: Problem; parts: PartStatus[] }

export function describePoc(facts: PocFacts): PocView {
  const { planned, round, seats } = facts
  if (!round) {
    if (planned && !planned.hasPoc) return { health: 'off', summary: 'this vLLM has no PoC routes', parts: [] }
    return { health: planned ? 'ok' : 'off', summary: planned ? 'no round' : 'no engine is planned', parts: [] }
  }
  const parts = seats.filter(({ slot }) => groupOf(round, slot)).map((seat) => describeSeat(seat, round, facts))
  const problem = parts.map((part) => part.problem).find(Boolean) ?? judgeRest(facts, round)
  const mining = seats
    .map((seat) => ({ port: seat.port, state: stateIn(round, seat) }))
    .flatMap(({ port, state }) => (state.kind === 'mining' ? [{ port, state }] : []))
    // One that does not answer, or computes nothing, does not mine, whatever it was told.
    .filter(({ port, state }) => !state.trouble && !judgeGrowth(`engine ${port}`, state.growth, facts.now, facts.pace))
    .map(({ state }) => state)
  const rate = mining.reduce((sum, { growth }) => sum + growth.perSecond, 0)
  const summary = `block ${round.request.block_height}: ${mining.length} of ${round.engines} engines mine, ${rate.toFixed(1)} nonces/s`
  if (problem)
    return { health: mining.length > 0 || isRefused(problem) ? 'degraded' : 'failed', summary, problem, parts }
  return { health: mining.length === round.engines ? 'ok' : 'starting', summary, parts }
}

/** What it said of another round says nothing of this one. */
const stateIn = (round: Round, { state }: SeatFacts): SeatState =>
  state.kind === 'idle' || state.roundId === round.id ? state : { kind: 'idle' }

/** An init that no engine takes is no reason to restart engines that serve: whoever asks for our health would do so. */
const isRefused = ({ code }: Problem): boolean => code === 'poc-init-refused' || code === 'poc-init-failed'

function judgeRest({ seats, roundAt, now, pace, saveFailure }: PocFacts, round: Round): Problem | undefined {
  const absent = Array.from({ length: round.engines }, (_, slot) => slot).filter(
    (slot) => !seats.some((seat) => seat.slot === slot && seat.serving),
  )
  if (absent.length > 0 && now - roundAt > pace.missing)
    return describeProblem(
      'poc-engine-missing',
      `groups ${absent.join(', ')} of ${round.engines} have no serving engine; their nonces are not computed`,
    )
  return saveFailure === undefined ? undefined : describeProblem('poc-round-not-saved', saveFailure)
}

export function judgeSeat(
  seat: SeatFacts,
  facts: Pick<PocFacts, 'now' | 'pace' | 'relayed'>,
  round: Round,
): Problem | undefined {
  const { deliveries, logLine } = seat
  const state = stateIn(round, seat)
  if (state.kind === 'failing' || state.kind === 'refused') return state.problem
  if (state.kind !== 'mining') return undefined
  const engine = `engine ${seat.port}`
  const watched = facts.relayed && Boolean(round.request.url)
  return (
    state.trouble ??
    judgeGrowth(engine, state.growth, facts.now, facts.pace) ??
    (watched
      ? judgeDeliveries(engine, { growth: state.growth, deliveries, logLine }, facts.now, facts.pace)
      : undefined)
  )
}

function describeSeat(seat: SeatFacts, round: Round, facts: PocFacts): PartStatus {
  const problem = judgeSeat(seat, facts, round)
  const group = groupOf(round, seat.slot)
  const share = `group ${group?.group_id} of ${group?.n_groups}`
  const { deliveries } = seat
  const state = stateIn(round, seat)
  const text = {
    idle: seat.serving ? `${share}: not told yet` : `${share} is reserved until it serves`,
    telling: `${share}: being told`,
    mining:
      state.kind === 'mining'
        ? `${share}: ${state.growth.total} nonces, ${deliveries.delivered} batches delivered`
        : '',
    failing: `${share}: told again soon`,
    refused: `${share}: refused`,
  }[state.kind]
  const health: Health = problem ? 'degraded' : state.kind === 'mining' ? 'ok' : 'starting'
  return { name: `engine ${seat.port}`, health, summary: text, since: round.startedAt, ...(problem && { problem }) }
}
