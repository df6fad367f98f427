// Tells one engine to mine its group, or to stop. What the engine answers decides; nothing here throws.
import type { ProfileName } from '../config/engine.ts'
import { messageOf } from '../core/errors.ts'
import type { Upstream } from '../engine/upstream.ts'
import { describeAnswer, type EngineCalls } from './engine-calls.ts'
import { lookAt } from './look.ts'
import { competes, groupOf, isGroupOf, type Round } from './round.ts'
import { judgeRequest, toEngineInit } from './translate.ts'

/** refused: the engine will say the same again. failed: worth another try. */
export type Told =
  | { kind: 'mining' }
  | { kind: 'refused'; error: string; status?: number }
  | { kind: 'failed'; error: string }

export type SendDeps = {
  calls: EngineCalls
  profile: () => ProfileName | undefined
  urlFor: (round: Round, slot: number) => string | undefined
  abort: AbortSignal
}

/** The old node's bound per engine call; a busy engine answers between two steps. */
const initBound = 60_000
/** The newest engines drain for up to 30 s before they answer a stop. */
const stopBound = 35_000

/**
 * An engine that mines is stopped only after it said that it would otherwise take the init: what it refuses costs nothing.
 * @param deps.replaces what it mines was told by us for an earlier round, and is over, however alike it looks
 */
export async function sendInit(
  upstream: Upstream,
  round: Round,
  deps: SendDeps & { replaces: boolean },
): Promise<Told> {
  const group = groupOf(round, upstream.slot)
  if (!group) return { kind: 'refused', error: `slot ${upstream.slot} has no group of ${round.engines}` }
  const impossible = judgeRequest(round.request, deps.profile())
  if (impossible) return { kind: 'refused', error: impossible }
  const body = toEngineInit(round.request, group, {
    profile: deps.profile(),
    url: deps.urlFor(round, upstream.slot),
  })
  try {
    const told = await sendBody(upstream, body, deps)
    return told === 'busy' ? await settleBusy(upstream, round, body, deps) : told
  } catch (error) {
    return { kind: 'failed', error: messageOf(error) }
  }
}

async function sendBody(upstream: Upstream, body: unknown, { calls, abort }: SendDeps): Promise<Told | 'busy'> {
  const call = { method: 'POST', path: '/api/v1/pow/init/generate', body, ms: initBound, abort } as const
  const answer = await calls.call(upstream.origin, call)
  if (answer.status >= 200 && answer.status < 300) return { kind: 'mining' }
  const error = describeAnswer(answer)
  if (answer.status === 409 && /already generating/i.test(answer.text)) return 'busy'
  const final = answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429
  return final ? { kind: 'refused', error, status: answer.status } : { kind: 'failed', error }
}

/** 409 "Already generating": what we want anyway, an old block that has to go, or somebody else's work that stays. */
async function settleBusy(
  upstream: Upstream,
  round: Round,
  body: unknown,
  deps: SendDeps & { replaces: boolean },
): Promise<Told> {
  const seen = await lookAt(upstream, deps)
  if (seen.kind === 'unknown') return { kind: 'failed', error: seen.error }
  if (seen.kind === 'generating' && seen.config) {
    if (!deps.replaces && isGroupOf(seen.config, round, upstream.slot)) return { kind: 'mining' }
    if (competes(seen.config, round.request)) return { kind: 'refused', error: describeOther(seen.config), status: 409 }
  }
  const failed = await sendStop(upstream, deps)
  if (failed) return { kind: 'failed', error: `earlier round goes on: ${failed}` }
  const told = await sendBody(upstream, body, deps)
  return told === 'busy' ? { kind: 'failed', error: 'Already generating, although it was stopped' } : told
}

export function describeOther(other: { node_id: number; public_key: string; block_height: number }): string {
  return `Already generating for node_id ${other.node_id}, public_key ${other.public_key.slice(0, 16)}, block ${other.block_height}`
}

/** Undefined: it does not mine any more. A text says what went wrong. */
export async function sendStop(upstream: Upstream, deps: SendDeps): Promise<string | undefined> {
  try {
    const call = { method: 'POST', path: '/api/v1/pow/stop', body: {}, ms: stopBound, abort: deps.abort } as const
    const answer = await deps.calls.call(upstream.origin, call)
    if (answer.status >= 200 && answer.status < 300) return undefined
    // After a crash of its PoC task an engine answers the next stop with 500 and is idle all the same (facts/vllm.md 2.10).
    const seen = await lookAt(upstream, deps)
    return seen.kind === 'other' && seen.status === 'IDLE' ? undefined : describeAnswer(answer)
  } catch (error) {
    return messageOf(error)
  }
}
