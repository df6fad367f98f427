// What a completion or chat request asks for, as vLLM reads its body; a refusal where it would refuse.
import { randomUUID } from 'node:crypto'
import { parseGuided } from './engine-guided.ts'
import type { Session } from './engine-session.ts'

export type Kind = 'chat' | 'text'

export type Prompt = { tokens: number; total: number; reason: 'stop' | 'length'; pieces?: readonly string[] }

export type Ask = {
  kind: Kind
  model: string
  stream: boolean
  usage: boolean
  /** One, but for /v1/completions with a list. */
  prompts: readonly Prompt[]
  id: string
}

export type Refused = { refused: number; message: string; type: string }

export function parseAsk(session: Session, kind: Kind, body: Record<string, unknown>): Ask | Refused {
  const { args, knobs } = session
  const model = typeof body['model'] === 'string' ? body['model'] : (args.servedNames[0] ?? '')
  if (!args.servedNames.includes(model)) {
    return { refused: 404, message: `The model \`${model}\` does not exist.`, type: 'NotFoundError' }
  }
  const told = kind === 'chat' ? body['messages'] : body['prompt']
  if (told === undefined) {
    const field = kind === 'chat' ? 'messages' : 'prompt'
    const message = `[{'type': 'missing', 'loc': ('body', '${field}'), 'msg': 'Field required'}]`
    return { refused: 400, message, type: 'Bad Request' }
  }
  const guided = parseGuided(body, knobs.generation)
  if (guided && 'refused' in guided) return { refused: 400, message: guided.refused, type: 'BadRequestError' }
  const counts = (kind === 'chat' ? [told] : toPrompts(told)).map(countPrompt)
  const tooLong = judgeLengths(counts, args.maxModelLen)
  if (tooLong !== undefined) return { refused: 400, message: tooLong, type: 'BadRequestError' }
  const wanted = Number(body['max_completion_tokens'] ?? body['max_tokens'] ?? (kind === 'chat' ? 32 : 16))
  const most = (tokens: number) => Math.max(1, Math.min(Math.trunc(wanted) || 1, args.maxModelLen - tokens))
  const options = body['stream_options'] as { include_usage?: boolean } | undefined
  return {
    kind,
    model,
    stream: body['stream'] === true,
    usage: options?.include_usage === true,
    prompts: counts.map((tokens) => toPrompt(tokens, most(tokens), guided?.text)),
    id: `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID().replaceAll('-', '')}`,
  }
}

/** @returns why not */
export function judgeLengths(counts: readonly number[], most: number): string | undefined {
  const longest = Math.max(...counts)
  if (longest <= most) return undefined
  return `This model's maximum context length is ${most} tokens. However, your request has ${longest} input tokens.`
}

function toPrompt(tokens: number, most: number, text: string | undefined): Prompt {
  if (text === undefined) return { tokens, total: most, reason: 'length' }
  const pieces = text.match(/[\s\S]{1,4}/g) ?? ['']
  const kept = pieces.slice(0, most)
  return { tokens, total: kept.length, reason: kept.length < pieces.length ? 'length' : 'stop', pieces: kept }
}

/** A text, a list of texts, a list of token ids, or a list of such lists. */
export function toPrompts(told: unknown): readonly unknown[] {
  return Array.isArray(told) && told.length > 0 && typeof told[0] !== 'number' ? told : [told]
}

export function countPrompt(prompt: unknown): number {
  const isIds = Array.isArray(prompt) && typeof prompt[0] === 'number'
  return isIds ? prompt.length : countTokens(JSON.stringify(prompt))
}

export function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4))
}
