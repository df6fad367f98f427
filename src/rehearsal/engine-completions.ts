// /v1/completions and /v1/chat/completions: whole or as server-sent events, with usage, aborted when the client leaves.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readJsonBody, sendJson, sendOpenAiError } from './engine-answers.ts'
import type { Session } from './engine-session.ts'

type Kind = 'chat' | 'text'
type Ask = {
  kind: Kind
  model: string
  stream: boolean
  usage: boolean
  promptTokens: number
  total: number
  id: string
}

export async function answerCompletion(
  session: Session,
  kind: Kind,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { generation } = session.knobs
  const body = await readJsonBody(request)
  if (!body) {
    const message = "[{'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode error'}]"
    return sendOpenAiError(response, 400, { message, type: 'Bad Request', generation })
  }
  const ask = parseAsk(session, kind, body)
  if ('refused' in ask) return sendOpenAiError(response, ask.refused, { ...ask, generation })
  if (session.poc.isGenerating() && session.knobs.pocBlocksChat) return refuseDuringPoc(session, response)
  const left = new AbortController()
  response.once('close', () => left.abort())
  try {
    await (ask.stream ? stream(session, ask, response, left.signal) : whole(session, ask, response, left.signal))
  } catch (error) {
    const aborted = left.signal.aborted
    session.counters.finished[aborted ? 'abort' : 'error'] += 1
    if (aborted) return
    if (response.headersSent) return void response.destroy()
    const message = error instanceof Error ? error.message : String(error)
    sendOpenAiError(response, 500, { message, type: 'InternalServerError', generation })
  }
}

function parseAsk(
  session: Session,
  kind: Kind,
  body: Record<string, unknown>,
): Ask | { refused: number; message: string; type: string } {
  const { args } = session
  const model = typeof body['model'] === 'string' ? body['model'] : (args.servedNames[0] ?? '')
  if (!args.servedNames.includes(model)) {
    return { refused: 404, message: `The model \`${model}\` does not exist.`, type: 'NotFoundError' }
  }
  const prompt = kind === 'chat' ? body['messages'] : body['prompt']
  if (prompt === undefined) {
    const field = kind === 'chat' ? 'messages' : 'prompt'
    const message = `[{'type': 'missing', 'loc': ('body', '${field}'), 'msg': 'Field required'}]`
    return { refused: 400, message, type: 'Bad Request' }
  }
  const promptTokens = countTokens(JSON.stringify(prompt))
  if (promptTokens > args.maxModelLen) {
    const message = `This model's maximum context length is ${args.maxModelLen} tokens. However, your request has ${promptTokens} input tokens.`
    return { refused: 400, message, type: 'BadRequestError' }
  }
  const wanted = Number(body['max_completion_tokens'] ?? body['max_tokens'] ?? (kind === 'chat' ? 32 : 16))
  const options = body['stream_options'] as { include_usage?: boolean } | undefined
  const total = Math.max(1, Math.min(Math.trunc(wanted) || 1, args.maxModelLen - promptTokens))
  const id = `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID().replaceAll('-', '')}`
  return {
    kind,
    model,
    stream: body['stream'] === true,
    usage: options?.include_usage === true,
    promptTokens,
    total,
    id,
  }
}

async function whole(session: Session, ask: Ask, response: ServerResponse, left: AbortSignal): Promise<void> {
  let text = ''
  for await (const part of session.decoder.decode({ tokens: ask.promptTokens, total: ask.total }, left)) text += part
  session.counters.finished.length += 1
  const common = { index: 0, logprobs: null, finish_reason: 'length', stop_reason: null }
  const choice =
    ask.kind === 'chat'
      ? { ...common, message: { role: 'assistant', content: text, tool_calls: [] } }
      : { ...common, text }
  sendJson(response, 200, { ...head(ask, ''), choices: [choice], usage: usageOf(ask) })
}

async function stream(session: Session, ask: Ask, response: ServerResponse, left: AbortSignal): Promise<void> {
  const send = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`)
  const begin = () => {
    if (response.headersSent) return
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    if (ask.kind === 'chat')
      send({ ...head(ask, '.chunk'), choices: [choiceOf(ask, { role: 'assistant', content: '' })] })
  }
  let at = 0
  for await (const text of session.decoder.decode({ tokens: ask.promptTokens, total: ask.total }, left)) {
    at += 1
    begin()
    const choice = choiceOf(ask, ask.kind === 'chat' ? { content: text } : text, at === ask.total ? 'length' : null)
    send({ ...head(ask, '.chunk'), choices: [choice] })
  }
  session.counters.finished.length += 1
  if (ask.usage) send({ ...head(ask, '.chunk'), choices: [], usage: usageOf(ask) })
  response.end('data: [DONE]\n\n')
}

function choiceOf(ask: Ask, part: unknown, reason: string | null = null): object {
  return {
    index: 0,
    ...(ask.kind === 'chat' ? { delta: part } : { text: part }),
    logprobs: null,
    finish_reason: reason,
  }
}

function head(ask: Ask, suffix: string): object {
  const object = ask.kind === 'chat' ? `chat.completion${suffix}` : 'text_completion'
  return { id: ask.id, object, created: Math.floor(Date.now() / 1000), model: ask.model }
}

function usageOf(ask: Ask): object {
  const { promptTokens, total } = ask
  return { prompt_tokens: promptTokens, completion_tokens: total, total_tokens: promptTokens + total }
}

/** facts/vllm.md 2.10 for the plugin, contracts/poc-engine.md 2.4 for the overlays. */
function refuseDuringPoc(session: Session, response: ServerResponse): void {
  if (session.knobs.generation === 'plugin') {
    return sendJson(response, 503, { error: 'poc_generation_active', reason: 'init-generate', retry_after_ms: 1000 })
  }
  const message = 'PoC generation is active, try again later'
  sendOpenAiError(response, 503, { message, type: 'service_unavailable', generation: session.knobs.generation })
}

export function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4))
}
