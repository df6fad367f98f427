// /api/v1/pow/* of an engine, per generation (contracts/poc-engine.md 2.1-2.4).
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readJsonBody, sendDetail, sendJson } from './engine-answers.ts'
import { parseGenerate, parseInit, type PocAsk } from './engine-poc-asks.ts'
import { writeMark } from './engine-marks.ts'
import type { Session } from './engine-session.ts'
import { versionOf } from './engine-stages.ts'

const base = '/api/v1/pow'

/** False: no route of PoC. */
export async function answerPoc(
  session: Session,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (!path.startsWith(`${base}/`) || session.knobs.generation === 'stock') return false
  const route = `${request.method} ${path.slice(base.length)}`
  if (route === 'GET /status') sendJson(response, 200, session.poc.status())
  else if (route === 'POST /stop') {
    request.resume()
    session.poc.stop()
    sendJson(response, 200, { status: 'OK', pow_status: { status: 'STOPPED' } })
  } else if (route === 'POST /init/generate') await init(session, request, response)
  else if (route === 'POST /generate') await generate(session, request, response)
  else if (route.startsWith('GET /generate/')) job(session, path.split('/').at(-1) ?? '', response)
  else if (route === 'GET /versions' && session.knobs.generation !== 'v0-overlay') versions(session, response)
  else return false
  return true
}

async function init(session: Session, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ask = parseInit((await readJsonBody(request)) ?? {})
  if (Array.isArray(ask)) return sendDetail(response, 422, ask)
  const refused = judgeMismatch(session, ask)
  if (refused) return sendDetail(response, 409, refused)
  if (!session.isHealthy()) return sendDetail(response, 503, 'Engine not available')
  const { pocRefuse } = session.knobs
  if (pocRefuse) return sendDetail(response, Number(pocRefuse) || 503, 'Engine not available')
  if (session.poc.init(ask) === 'already') return sendDetail(response, 409, 'Already generating')
  writeMark(session.knobs.marks, session.knobs.slot, 'generating')
  sendJson(response, 200, { status: 'OK', pow_status: { status: 'GENERATING' } })
}

async function generate(session: Session, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ask = parseGenerate((await readJsonBody(request)) ?? {})
  if (Array.isArray(ask)) return sendDetail(response, 422, ask)
  const refused = judgeMismatch(session, ask)
  if (refused) return sendDetail(response, 409, refused)
  const told = ask.validation?.map(({ nonce }) => nonce)
  if (told && (told.length !== ask.nonces.length || ask.nonces.some((nonce) => !told.includes(nonce)))) {
    return sendDetail(response, 400, 'nonces must match validation artifacts')
  }
  const queued = session.poc.queue(ask)
  if (!queued) {
    const text = `Queue full: ${session.poc.queued()} nonces queued, limit is ${session.knobs.maxQueued}`
    return sendDetail(response, 429, text)
  }
  if (!ask.wait) return sendJson(response, 200, { status: 'queued', request_id: queued.id, queued_count: queued.count })
  await queued.done
  const view = session.poc.job(queued.id)
  if (view?.status === 'completed') sendJson(response, 200, view)
  else sendDetail(response, 503, view?.error ?? 'cancelled')
}

function job(session: Session, id: string, response: ServerResponse): void {
  const view = session.poc.job(id)
  if (view) sendJson(response, 200, view)
  else sendDetail(response, 404, `Request ${id} not found`)
}

function versions(session: Session, response: ServerResponse): void {
  const { generation } = session.knobs
  sendJson(response, 200, {
    vllm_version: versionOf(generation),
    poc_validation_inference: true,
    ...(generation === 'plugin' && { gonka_poc_version: '0.1.0a0' }),
  })
}

function judgeMismatch(session: Session, { params }: PocAsk): object | undefined {
  const { servedNames, model } = session.args
  if (servedNames.includes(params.model) || params.model === model) return undefined
  const deployed = { model: servedNames[0], seq_len: params.seq_len, k_dim: params.k_dim }
  return { error: 'params mismatch', requested: params, deployed, fields: ['model'] }
}
