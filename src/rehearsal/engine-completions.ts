// /v1/completions and /v1/chat/completions: whole or as server-sent events, with usage, aborted when the client leaves.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readJsonBody, sendJson, sendOpenAiError } from './engine-answers.ts'
import { type Ask, type Kind, parseAsk, type Prompt } from './engine-ask.ts'
import type { Session } from './engine-session.ts'

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

/** The tokens of one prompt. @throws when the core dies or the client leaves */
async function* generate({ decoder, counters }: Session, prompt: Prompt, left: AbortSignal): AsyncGenerator<string> {
  const { tokens, total, pieces, reason } = prompt
  let at = 0
  for await (const text of decoder.decode({ tokens, total }, left)) {
    yield pieces?.[at] ?? text
    at += 1
  }
  left.throwIfAborted()
  counters.finished[reason] += 1
}

async function whole(session: Session, ask: Ask, response: ServerResponse, left: AbortSignal): Promise<void> {
  const choices = await Promise.all(
    ask.prompts.map(async (prompt, index) => {
      let text = ''
      for await (const part of generate(session, prompt, left)) text += part
      const common = { index, logprobs: null, finish_reason: prompt.reason, stop_reason: null }
      return ask.kind === 'chat'
        ? { ...common, message: { role: 'assistant', content: text, tool_calls: [] } }
        : { ...common, text }
    }),
  )
  sendJson(response, 200, { ...head(ask, ''), choices, usage: usageOf(ask) })
}

async function stream(session: Session, ask: Ask, response: ServerResponse, left: AbortSignal): Promise<void> {
  const { kind, prompts } = ask
  const send = async (choices: unknown[], more: object = {}) => {
    const text = `data: ${JSON.stringify({ ...head(ask, '.chunk'), choices, ...more })}\n\n`
    // A reader that does not keep up holds its own request up, and nothing piles up.
    if (!response.write(text)) await once(response, 'drain', { signal: left })
  }
  const begin = async () => {
    if (response.headersSent) return
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    if (kind === 'chat') await send([choiceOf(kind, { index: 0, part: { role: 'assistant', content: '' } })])
  }
  const sendAll = async (prompt: Prompt, index: number) => {
    let at = 0
    for await (const text of generate(session, prompt, left)) {
      at += 1
      await begin()
      const part = kind === 'chat' ? { content: text } : text
      await send([choiceOf(kind, { index, part, reason: at === prompt.total ? prompt.reason : null })])
    }
  }
  await Promise.all(prompts.map(sendAll))
  if (ask.usage) await send([], { usage: usageOf(ask) })
  response.end('data: [DONE]\n\n')
}

type Part = { index: number; part: unknown; reason?: string | null }

function choiceOf(kind: Kind, { index, part, reason = null }: Part): object {
  return { index, ...(kind === 'chat' ? { delta: part } : { text: part }), logprobs: null, finish_reason: reason }
}

function head(ask: Ask, suffix: string): object {
  const object = ask.kind === 'chat' ? `chat.completion${suffix}` : 'text_completion'
  return { id: ask.id, object, created: Math.floor(Date.now() / 1000), model: ask.model }
}

/** Of all prompts together, as vLLM tells it. */
function usageOf({ prompts }: Ask): object {
  const sum = (pick: (prompt: Prompt) => number) => prompts.reduce((all, one) => all + pick(one), 0)
  const [asked, made] = [sum(({ tokens }) => tokens), sum(({ total }) => total)]
  return { prompt_tokens: asked, completion_tokens: made, total_tokens: asked + made }
}

/** facts/vllm.md 2.10 for the plugin, contracts/poc-engine.md 2.4 for the overlays. */
function refuseDuringPoc(session: Session, response: ServerResponse): void {
  if (session.knobs.generation === 'plugin') {
    return sendJson(response, 503, { error: 'poc_generation_active', reason: 'init-generate', retry_after_ms: 1000 })
  }
  const message = 'PoC generation is active, try again later'
  sendOpenAiError(response, 503, { message, type: 'service_unavailable', generation: session.knobs.generation })
}
