// Is an engine that says GENERATING really mining, and do its batches arrive (P6)? Facts in, problem out. Pure.
import type { Problem } from '../api/status.ts'
import { describeProblem } from './problems.ts'

export type PocPace = {
  /** Between two looks at an engine, ms. */
  look: number
  /** total_processed may stand still for so long, ms. Engines of 0.9.1 let chat go first, and a chunk may take 60 s. */
  stall: number
  /** Growth for so long without a delivered batch is a problem, ms: judgeDelivery. */
  delivery: number
  /** A planned engine may be absent from a round for so long before that is a problem, ms. */
  missing: number
}

export const defaultPace: PocPace = { look: 2000, stall: 90_000, delivery: judgeDelivery(undefined), missing: 60_000 }

/** Without a round nothing depends on the time that passes; its begin wakes whoever looks. */
const idleLook = 60_000

/** ms until the next look. */
export const lookEvery = ({ look }: PocPace, round: object | undefined): number =>
  round ? look : Math.max(look, idleLook)

/**
 * Batches leave in the engine's own interval and are tried for 10 s each: seven of them in a row that do not arrive are no accident.
 * @param interval POC_CALLBACK_INTERVAL_SEC as the engines get it; @returns ms, 45 s for their default of 5 s
 */
export function judgeDelivery(interval: string | undefined): number {
  const told = Number(interval)
  return 10_000 + 7000 * (told > 0 ? told : 5)
}

/** What was seen of one engine in one round. Times are monotonic ms. */
export type Growth = {
  total: number
  perSecond: number
  /** When the total grew last, or when we began to look. */
  grewAt: number
  /** When it was seen to grow first; undefined while it has not. */
  firstGrewAt?: number
}

export const noGrowth = (now: number): Growth => ({ total: 0, perSecond: 0, grewAt: now })

export function noteStats(growth: Growth, stats: { total: number; perSecond: number }, now: number): Growth {
  // A smaller total is a sequence that began anew, which is progress too.
  if (stats.total === growth.total) return { ...growth, perSecond: stats.perSecond }
  return { ...stats, grewAt: now, firstGrewAt: growth.firstGrewAt ?? now }
}

/** What the relay saw of one slot's callbacks in this round. */
export type Deliveries = {
  delivered: number
  /** Of the last batch that arrived. */
  deliveredAt?: number
  refused: number
  unreachable: number
  /** The last attempt that failed after the last one that arrived. */
  failure?: { kind: 'refused' | 'unreachable'; text: string; at: number }
}

export const noDeliveries: Deliveries = { delivered: 0, refused: 0, unreachable: 0 }

export function judgeGrowth(engine: string, growth: Growth, now: number, pace: PocPace): Problem | undefined {
  const still = now - growth.grewAt
  if (still < pace.stall) return undefined
  return describeProblem(
    'poc-stalled',
    `${engine} says GENERATING, total_processed has been ${growth.total} for ${seconds(still)} s`,
  )
}

/** Only for rounds with a callback url that goes through the relay. `logLine`: what the engine's log says about callbacks. */
export function judgeDeliveries(
  engine: string,
  seen: { growth: Growth; deliveries: Deliveries; logLine?: string | undefined },
  now: number,
  pace: PocPace,
): Problem | undefined {
  const { growth, deliveries, logLine } = seen
  if (growth.firstGrewAt === undefined) return undefined
  const since = now - Math.max(growth.firstGrewAt, deliveries.deliveredAt ?? 0)
  // Nothing computed since the last batch: there is nothing to deliver.
  if (since < pace.delivery || growth.grewAt < (deliveries.deliveredAt ?? 0)) return undefined
  const mined = `${engine}: ${growth.total} nonces computed, no batch delivered for ${seconds(since)} s`
  const { failure } = deliveries
  if (!failure) return describeProblem('poc-no-callbacks', logLine ? `${mined}; its log: ${logLine}` : mined)
  const count = failure.kind === 'refused' ? deliveries.refused : deliveries.unreachable
  const code = failure.kind === 'refused' ? 'poc-callbacks-refused' : 'poc-callbacks-unreachable'
  return describeProblem(code, `${mined}; ${count} attempts failed, the last with: ${failure.text}`)
}

const seconds = (ms: number) => Math.round(ms / 1000)
