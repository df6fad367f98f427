// The HTTP surface of a serving rehearsal engine (facts/vllm.md 2.3 and 2.9).
import type { IncomingMessage, ServerResponse } from 'node:http'
import { countTokens } from './engine-ask.ts'
import { answerCompletion } from './engine-completions.ts'
import { answerEmbeddings, refuseTask } from './engine-embeddings.ts'
import { readJsonBody, sendDetail, sendJson } from './engine-answers.ts'
import { renderMetrics } from './engine-metrics.ts'
import { answerPoc } from './engine-poc-routes.ts'
import type { Session } from './engine-session.ts'
import { versionOf } from './engine-stages.ts'

export async function answerEngine(
  session: Session,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] ?? '/'
  logAccess(session, path, request, response)
  if (
    session.args.apiKey &&
    path.startsWith('/v1') &&
    request.headers.authorization !== `Bearer ${session.args.apiKey}`
  ) {
    return sendJson(response, 401, { error: 'Unauthorized' })
  }
  const routes: Record<string, (() => void | Promise<void>) | undefined> = {
    '/health': () => void response.writeHead(session.isHealthy() ? 200 : 503, { 'content-length': 0 }).end(),
    '/ping': () => void response.writeHead(session.isHealthy() ? 200 : 503, { 'content-length': 0 }).end(),
    '/version': () => sendJson(response, 200, { version: versionOf(session.knobs.generation) }),
    '/load': () =>
      sendJson(response, 200, { server_load: session.args.serverLoadTracking ? session.counters.running : 0 }),
    '/metrics': () => sendMetrics(session, response),
    '/v1/models': () => sendModels(session, response),
  }
  const posts: Record<string, (() => Promise<void>) | undefined> = {
    ...(session.args.task === 'embed'
      ? {
          '/v1/embeddings': () => answerEmbeddings(session, request, response),
          '/v1/completions': () => refuseTask(session, 'Completions', request, response),
          '/v1/chat/completions': () => refuseTask(session, 'Chat Completions', request, response),
        }
      : {
          '/v1/embeddings': () => refuseTask(session, 'Embeddings', request, response),
          '/v1/completions': () => answerCompletion(session, 'text', request, response),
          '/v1/chat/completions': () => answerCompletion(session, 'chat', request, response),
        }),
    '/tokenize': () => tokenize(session, request, response),
    '/ping': async () => void response.writeHead(200, { 'content-length': 0 }).end(),
  }
  if (await answerPoc(session, path, request, response)) return
  const isPost = request.method === 'POST'
  const answer = isPost ? posts[path] : routes[path]
  if (answer) return answer()
  request.resume()
  if (posts[path] ?? routes[path]) return sendDetail(response, 405, 'Method Not Allowed')
  sendDetail(response, 404, 'Not Found')
}

function sendMetrics({ counters, args, knobs }: Session, response: ServerResponse): void {
  const text = renderMetrics(counters, args.servedNames[0] ?? '', knobs.generation)
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
}

function sendModels({ args, startedAt }: Session, response: ServerResponse): void {
  const data = args.servedNames.map((id) => ({
    id,
    object: 'model',
    created: startedAt,
    owned_by: 'vllm',
    root: args.model,
    parent: null,
    max_model_len: args.maxModelLen,
  }))
  sendJson(response, 200, { object: 'list', data })
}

async function tokenize({ args }: Session, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readJsonBody(request)
  if (!body) return sendDetail(response, 400, 'JSON decode error')
  const count = countTokens(JSON.stringify(body['prompt'] ?? body['messages'] ?? ''))
  const tokens = Array.from({ length: count }, (_, at) => at)
  sendJson(response, 200, { count, max_model_len: args.maxModelLen, tokens, token_strs: null })
}

function logAccess(session: Session, path: string, request: IncomingMessage, response: ServerResponse): void {
  const from = `${request.socket.remoteAddress}:${request.socket.remotePort}`
  response.once('finish', () =>
    session.log.access(
      `${from} - "${request.method} ${path} HTTP/1.1" ${response.statusCode} ${response.statusMessage}`,
    ),
  )
}
