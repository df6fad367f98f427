// HTTP to one engine on loopback. Every call is bounded; what is refused, slow or garbage is an answer, never an exception.
import type { Pool } from 'undici'
import { codeOf, messageOf } from '../core/errors.ts'
import { bounded } from '../core/abort.ts'
import { createPool, readText } from '../core/http-client.ts'

/** refused: nobody listens there. silent: no answer in time, or the connection broke. */
export type Answer =
  | { kind: 'answer'; status: number; body: unknown; text: string }
  | { kind: 'refused' }
  | { kind: 'silent'; why: string }

export type AskOptions = {
  /** ms, default 10 s: a busy engine answers late (facts/peers.md B3). */
  timeout?: number
  abort?: AbortSignal
}

export interface EngineClient {
  readonly origin: string
  health(options?: AskOptions): Promise<Answer>
  models(options?: AskOptions): Promise<Answer>
  /** Prometheus text in `text`. */
  metrics(options?: AskOptions): Promise<Answer>
  /** One token of work. A 503 while PoC generates is an answer, too: it lives. */
  completeOne(model: string, options?: AskOptions): Promise<Answer>
  pocStatus(options?: AskOptions): Promise<Answer>
  close(): Promise<void>
}

/** Nothing that we ask for is larger. */
const largestAnswer = 64 * 1024 * 1024

export function createEngineClient(origin: string): EngineClient {
  // vLLM closes idle connections after 5 s: ours go first.
  const pool = createPool(origin, { connections: 8, keepAliveTimeout: 3000, keepAliveMaxTimeout: 4000 })
  const get = (path: string) => (options?: AskOptions) => ask(pool, { path }, options)
  const post = (path: string, body: unknown, options?: AskOptions) => ask(pool, { path, body }, options)
  return {
    origin,
    health: get('/health'),
    models: get('/v1/models'),
    metrics: get('/metrics'),
    completeOne: (model, options) => post('/v1/completions', { model, prompt: 'a', max_tokens: 1 }, options),
    pocStatus: get('/api/v1/pow/status'),
    close: () => pool.destroy(),
  }
}

async function ask(pool: Pool, what: { path: string; body?: unknown }, options: AskOptions = {}): Promise<Answer> {
  using bound = bounded(options.timeout ?? 10_000, options.abort)
  try {
    const { statusCode, body } = await pool.request({
      path: what.path,
      method: what.body === undefined ? 'GET' : 'POST',
      ...(what.body !== undefined && {
        body: JSON.stringify(what.body),
        headers: { 'content-type': 'application/json' },
      }),
      signal: bound.signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    const text = await readText(body, largestAnswer)
    return { kind: 'answer', status: statusCode, body: parseJson(text), text }
  } catch (error) {
    return codeOf(error) === 'ECONNREFUSED' ? { kind: 'refused' } : { kind: 'silent', why: messageOf(error) }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
