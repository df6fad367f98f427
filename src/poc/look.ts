// One engine's own PoC status, within 2 s: a hanging engine never makes a caller hang.
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import type { Upstream } from '../engine/upstream.ts'
import { describeAnswer, type EngineCalls } from './engine-calls.ts'
import { type EngineRound, engineRound } from './round.ts'

export type Seen =
  | { kind: 'generating'; total: number; perSecond: number; config?: EngineRound; body: Record<string, unknown> }
  | { kind: 'other'; status: string; body: Record<string, unknown> }
  | { kind: 'unknown'; error: string }

const engineStatus = z.looseObject({
  status: z.string(),
  config: z.unknown(),
  stats: z
    .looseObject({ total_processed: z.number().catch(0), nonces_per_second: z.number().catch(0) })
    .nullish()
    .catch(null),
})

const bound = 2000

export async function lookAt(
  upstream: Upstream,
  { calls, abort }: { calls: EngineCalls; abort?: AbortSignal },
): Promise<Seen> {
  try {
    const call = { method: 'GET', path: '/api/v1/pow/status', ms: bound, abort } as const
    const answer = await calls.call(upstream.origin, call)
    if (answer.status !== 200) return { kind: 'unknown', error: `HTTP ${answer.status}: ${describeAnswer(answer)}` }
    const parsed = engineStatus.safeParse(answer.body)
    if (!parsed.success) return { kind: 'unknown', error: `no PoC status: ${describeAnswer(answer)}` }
    const { status, config, stats } = parsed.data
    const body = answer.body as Record<string, unknown>
    if (status !== 'GENERATING') return { kind: 'other', status, body }
    const known = engineRound.safeParse(config)
    return {
      kind: 'generating',
      total: stats?.total_processed ?? 0,
      perSecond: stats?.nonces_per_second ?? 0,
      ...(known.success && { config: known.data }),
      body,
    }
  } catch (error) {
    return { kind: 'unknown', error: messageOf(error) }
  }
}
