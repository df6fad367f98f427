// One-off work of the API node: generate and validate given nonces on one engine, and fetch what was queued there.
import type { PocGenerate } from '../api/mlnode-poc.ts'
import type { ProfileName } from '../config/engine.ts'
import { messageOf } from '../core/errors.ts'
import type { Upstream } from '../engine/upstream.ts'
import { describeAnswer, type EngineAnswer, type EngineCalls } from './engine-calls.ts'
import { type Candidate, pickEngine } from './pick.ts'
import { judgeRequest, toEngineGenerate } from './translate.ts'

/** `detail` of the FastAPI error body where the status is none of success. */
export type QueueAnswer = { status: number; body: unknown } | { status: number; detail: string }

export type QueueDeps = {
  calls: EngineCalls
  candidates: () => readonly Candidate[]
  profile: () => ProfileName | undefined
  urlFor: (url: string | null | undefined) => string | undefined
  abort: AbortSignal
}

/** The old node's bound: a `wait` that takes longer is a 502, although the engine goes on. */
const waitBound = 60_000
const quickBound = 4500

export interface PocQueue {
  /** Never rejects. Up to a minute with `wait`, else within 4.5 s. */
  generate(request: PocGenerate, caller?: AbortSignal): Promise<QueueAnswer>
  /** @param id `<port>:<uuid>` as `generate` gave it */
  result(id: string): Promise<QueueAnswer>
}

export function createQueue(deps: QueueDeps): PocQueue {
  let turn = 0
  return {
    async generate(request, caller) {
      const upstream = pickEngine(deps.candidates(), turn++)
      if (!upstream) return { status: 503, detail: 'No vLLM backends available' }
      const impossible = judgeRequest(request, deps.profile())
      if (impossible) return { status: 502, detail: impossible }
      const body = toEngineGenerate(request, { profile: deps.profile(), url: deps.urlFor(request.url) })
      const abort = caller ? AbortSignal.any([caller, deps.abort]) : deps.abort
      const ms = request.wait ? waitBound : quickBound
      using work = upstream.begin()
      const call = { method: 'POST', path: '/api/v1/pow/generate', body, ms, abort } as const
      const answer = await deps.calls.call(upstream.origin, call).catch(messageOf)
      work.progress()
      return toQueueAnswer(answer, (found) =>
        found['status'] === 'queued' && typeof found['request_id'] === 'string'
          ? { ...found, request_id: `${upstream.port}:${found['request_id']}` }
          : found,
      )
    },
    async result(id) {
      const split = parseId(id)
      if (typeof split === 'string') return { status: 400, detail: split }
      // Only live engines are asked: an id may not make us call any other port.
      const upstream = deps.candidates().find((one) => one.upstream.port === split.port)?.upstream
      if (!upstream) return { status: 404, detail: 'Request not found' }
      const path = `/api/v1/pow/generate/${encodeURIComponent(split.id)}`
      const call = { method: 'GET', path, ms: quickBound, abort: deps.abort } as const
      const answer = await deps.calls.call(upstream.origin, call).catch(messageOf)
      if (typeof answer !== 'string' && answer.status === 404) return { status: 404, detail: 'Request not found' }
      return toQueueAnswer(answer, (found) => ({ ...found, request_id: id }))
    },
  }
}

function parseId(text: string): { port: number; id: string } | string {
  const at = text.indexOf(':')
  if (at < 0) return 'Invalid request_id format (expected port:uuid)'
  const port = text.slice(0, at)
  return /^\d{1,5}$/.test(port) ? { port: Number(port), id: text.slice(at + 1) } : 'Invalid port in request_id'
}

function toQueueAnswer(
  answer: EngineAnswer | string,
  amend: (found: Record<string, unknown>) => Record<string, unknown>,
): QueueAnswer {
  if (typeof answer === 'string') return { status: 502, detail: answer }
  if (answer.status !== 200) return { status: answer.status, detail: answer.text || describeAnswer(answer) }
  if (typeof answer.body !== 'object' || answer.body === null || Array.isArray(answer.body))
    return { status: 502, detail: `engine answered no JSON object: ${describeAnswer(answer)}` }
  return { status: 200, body: amend(answer.body as Record<string, unknown>) }
}

export type EngineVersions = { vllm_version: string | null; poc_validation_inference: boolean }

/** Asks one engine: the PoC code's own route, else vLLM's. Undefined: it does not answer now. */
export async function readVersions(
  upstream: Upstream,
  { calls, abort }: { calls: EngineCalls; abort: AbortSignal },
): Promise<EngineVersions | undefined> {
  const get = (path: string) =>
    calls.call(upstream.origin, { method: 'GET', path, ms: 1000, abort }).catch(() => undefined)
  const poc = upstream.hasPoc ? await get('/api/v1/pow/versions') : undefined
  if (poc?.status === 200) {
    const found = toRecord(poc.body)
    return {
      vllm_version: toText(found['vllm_version']),
      poc_validation_inference: found['poc_validation_inference'] === true,
    }
  }
  const own = await get('/version')
  if (own?.status !== 200) return undefined
  return { vllm_version: toText(toRecord(own.body)['version']), poc_validation_inference: false }
}

const toRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
const toText = (value: unknown): string | null => (typeof value === 'string' ? value : null)
