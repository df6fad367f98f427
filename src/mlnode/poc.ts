// PoC v2 (contracts/node-api.md 1.6): fan-out to all engines and one-off work on one of them.
import type { FastifyInstance, FastifyReply } from 'fastify'
import { pocGenerate, pocInit } from '../api/mlnode-poc.ts'
import { type EngineVersions, type QueueAnswer } from '../poc/queue.ts'
import { wholeWork } from '../poc/round.ts'
import { parseBody } from '../http/pydantic-issues.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail, whenCallerLeaves } from './edge.ts'

export const noBackends = 'No vLLM backends available'
/** 100,000 artifacts to validate are 10 MB. */
export const generateLimit = 64 << 20

const base = '/api/v1/inference/pow'

export function addPocRoutes(app: FastifyInstance, deps: MlnodeDeps): void {
  const { poc } = deps
  app.post(`${base}/init/generate`, async (request) => {
    const outcome = await poc.begin(parseBody(pocInit, request.body), wholeWork)
    if (outcome.kind === 'no-backends') throw new Detail(503, noBackends)
    if (outcome.kind === 'failed') throw new Detail(502, { errors: outcome.errors })
    return outcome.answer
  })
  app.get(`${base}/status`, () => poc.engineStatus())
  app.get(`${base}/versions`, () => readPocVersions(deps))
  addGenerate(app, base, deps)
}

/** The same below both bases. */
export function addGenerate(app: FastifyInstance, below: string, { poc }: MlnodeDeps): void {
  app.post(`${below}/generate`, { bodyLimit: generateLimit }, async (request, reply) => {
    const ask = parseBody(pocGenerate, request.body)
    return answerQueue(reply, await poc.generate(ask, whenCallerLeaves(reply)))
  })
  app.get<{ Params: { '*': string } }>(`${below}/generate/*`, async (request, reply) =>
    answerQueue(reply, await poc.result(request.params['*'])),
  )
}

export async function readPocVersions({ poc, version }: MlnodeDeps): Promise<EngineVersions & { version: string }> {
  const found = await poc.versions()
  if (!found) throw new Detail(503, noBackends)
  return { version, ...found }
}

function answerQueue(reply: FastifyReply, answer: QueueAnswer): FastifyReply {
  return reply.code(answer.status).send('detail' in answer ? { detail: answer.detail } : answer.body)
}
