// `/api/v1/pow/*` as the PoC AMI has it: PoC v2 under the engines' own routes, for callers that split the work themselves.
// PoW v1, which lived there before, is refused: this node has no miner of its own.
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { pocGroupInit } from '../api/mlnode-poc.ts'
import { parseBody } from '../http/pydantic-issues.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail, takeAnyBody } from './edge.ts'
import { addGenerate, noBackends, readPocVersions } from './poc.ts'

const base = '/api/v1/pow'
const v1Routes = ['/init', '/init/validate', '/phase/generate', '/phase/validate', '/validate']
/** What only a body of PoW v1 has. */
const v1Body = z.looseObject({ r_target: z.unknown() }).refine((body) => body.r_target !== undefined)
const v2Body = z.looseObject({ params: z.looseObject({ seq_len: z.unknown() }) })

export function addPowRoutes(app: FastifyInstance, deps: MlnodeDeps): void {
  const { poc } = deps
  void app.register(async (scope) => {
    takeAnyBody(scope)
    for (const route of v1Routes)
      scope.post(`${base}${route}`, () => {
        throw describeV1(deps)
      })
  })
  app.post(`${base}/init/generate`, async (request) => {
    if (v1Body.safeParse(request.body).success && !isV2(request.body)) throw describeV1(deps)
    const { group_id, n_groups, ...init } = parseBody(pocGroupInit, request.body)
    const outcome = await poc.begin(init, { group: group_id, of: n_groups })
    if (outcome.kind === 'no-backends') throw new Detail(503, noBackends)
    // As the engine itself says it, since these are the engine's routes.
    if (outcome.kind === 'failed' && outcome.conflict) throw new Detail(409, unwrap(outcome.errors[0]?.error ?? ''))
    if (outcome.kind === 'failed') throw new Detail(502, { errors: outcome.errors })
    return { ...outcome.answer, pow_status: { status: 'GENERATING' } }
  })
  app.get(`${base}/status`, () => readUnion(deps))
  app.get(`${base}/versions`, () => readPocVersions(deps))
  addGenerate(app, base, deps)
}

function isV2(raw: unknown): boolean {
  const found = v2Body.safeParse(raw)
  return found.success && found.data.params.seq_len !== undefined
}

/** The conflict that an old node names, without its advice: a stop would not help here. */
function describeV1({ fleet }: MlnodeDeps): Detail {
  const why =
    fleet.orders.service.peek() === 'INFERENCE'
      ? 'Cannot run POW because MLNode is currently in INFERENCE mode.'
      : 'Cannot run POW on this MLNode.'
  return new Detail(409, `${why} PoW v1 was removed; use PoC v2 at /api/v1/inference/pow/init/generate`)
}

/** `{"detail": x}` of an engine → x. */
function unwrap(text: string): unknown {
  try {
    const found: unknown = JSON.parse(text)
    return typeof found === 'object' && found !== null && 'detail' in found ? found.detail : text
  } catch {
    return text
  }
}

const engineStats = z.looseObject({
  stats: z.looseObject({ total_processed: z.number(), nonces_per_second: z.number() }),
})

/** PoW v1's `{status, is_model_initialized}` and the engine's `{status, config, stats}` in one, over all engines. */
async function readUnion({ poc }: MlnodeDeps): Promise<object> {
  const { status, backends } = await poc.engineStatus()
  const all = backends.flatMap((one) => engineStats.safeParse(one).data?.stats ?? [])
  const mining = backends.find((one) => one.status === 'GENERATING')
  const sum = (pick: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + pick(one), 0)
  return {
    status,
    is_model_initialized: mining !== undefined,
    config: describeConfig(poc.round.peek(), mining?.['config']),
    stats:
      all.length === 0
        ? null
        : {
            total_processed: sum((one) => one.total_processed),
            nonces_per_second: sum((one) => one.nonces_per_second),
          },
    backends,
  }
}

/** The caller's own group, not that of the engine which happens to come first. */
function describeConfig(round: ReturnType<MlnodeDeps['poc']['round']['peek']>, config: unknown): unknown {
  if (typeof config !== 'object' || config === null) return null
  return round ? { ...config, group_id: round.share.group, n_groups: round.share.of } : config
}
