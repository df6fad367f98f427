// What engines answer, read with care: an answer of another shape is a failure with words, never a wrong result. Pure.
import type { EngineAnswer } from './engine-exchange.ts'
import type { Completion } from '../api/inference.ts'

/** The engine said no: its own words. */
export class EngineRefused extends Error {
  override readonly name = 'EngineRefused'
  /** Its core is dead, and the rest of it soon. */
  readonly isDying: boolean

  constructor(message: string, isDying: boolean) {
    super(message)
    this.isDying = isDying
  }
}

/** @throws EngineRefused */
export function parseCompletion(answer: EngineAnswer): Completion {
  const body = parseAnswer(answer)
  const text = at(at(at(body, 'choices'), 0), 'text')
  if (typeof text !== 'string') throw new EngineRefused('the engine answered without a text', false)
  return { text, ...parseUsage(at(body, 'usage')) }
}

/** The encoded message `Embedding`: one field, packed floats. @throws EngineRefused */
export function parseEmbedding(answer: EngineAnswer): Buffer {
  const values = at(at(at(parseAnswer(answer), 'data'), 0), 'embedding')
  if (!Array.isArray(values)) throw new EngineRefused('the engine answered without an embedding', false)
  const floats = Float32Array.from(values as number[])
  const bytes = Buffer.from(floats.buffer)
  return floats.length === 0 ? Buffer.alloc(0) : Buffer.concat([encodeHead(1, bytes.length), bytes])
}

/** A streamed answer has gone to its sink; what comes here is one that was refused. @throws EngineRefused */
export function parseStreamed(answer: EngineAnswer): void {
  if (answer.status >= 300) parseAnswer(answer)
}

/** The key and length of a length-delimited field (protobuf.dev, encoding). */
export function encodeHead(field: number, length: number): Buffer {
  const bytes = [(field << 3) | 2]
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest % 128) | 128)
  }
}

export function parseUsage(usage: unknown): { prompt_tokens: number; completion_tokens: number } {
  const count = (name: string) => Math.trunc(Number(at(usage, name) ?? 0)) || 0
  return { prompt_tokens: count('prompt_tokens'), completion_tokens: count('completion_tokens') }
}

function parseAnswer({ status, body }: EngineAnswer): unknown {
  const text = body.toString('utf8')
  const parsed = parseJson(text)
  if (status === 200 && parsed !== undefined) return parsed
  throw toRefused(status, parsed, text)
}

/** Its JSON error in any of the shapes that generations of vLLM have, else its text. */
export function toRefused(status: number, parsed: unknown, text: string): EngineRefused {
  const found = [at(at(parsed, 'error'), 'message'), at(parsed, 'message'), at(parsed, 'error'), at(parsed, 'detail')]
  const told = found.find((one) => typeof one === 'string')
  const message = typeof told === 'string' ? told : `the engine answered ${status}: ${text.slice(0, 500)}`
  // facts/vllm.md 2.9: requests in flight end so when the core dies.
  return new EngineRefused(message, status >= 500 && /EngineCore|EngineDeadError|engine is dead/i.test(text))
}

export function at(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[key] : undefined
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
