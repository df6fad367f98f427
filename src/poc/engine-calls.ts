// Bounded HTTP calls to one engine's PoC routes (contracts/poc-engine.md). An answer of any status is an answer; only an
// engine that cannot be reached, or does not answer in time, throws.
import type { Agent } from 'undici'
import { bounded, isAbort } from '../core/abort.ts'
import { messageOf } from '../core/errors.ts'
import { createAgent, readText, request } from '../core/http-client.ts'

/** `body` is the parsed JSON, undefined where the answer is none. */
export type EngineAnswer = { status: number; text: string; body: unknown }

export type EngineCall = {
  method: 'GET' | 'POST'
  path: string
  body?: unknown
  /** Bound of the whole call, ms. */
  ms: number
  abort?: AbortSignal | undefined
}

export interface EngineCalls {
  /** @throws Error whose message says what failed, lower case */
  call(origin: string, call: EngineCall): Promise<EngineAnswer>
  close(): Promise<void>
}

/** Artifacts of 100,000 nonces are 4 MB; more than this is no answer of an engine. */
const longestAnswer = 64 << 20

export function createEngineCalls(): EngineCalls {
  // uvicorn closes idle connections after 5 s: ours go first.
  const options = { keepAliveTimeout: 3000, keepAliveMaxTimeout: 3000, connect: { timeout: 2000 } }
  let agent: Agent | undefined
  return {
    async call(origin, { method, path, body, ms, abort }) {
      using bound = bounded(ms, abort)
      const { signal } = bound
      try {
        const answer = await request(`${origin}${path}`, {
          method,
          dispatcher: (agent ??= createAgent(options)),
          signal,
          headersTimeout: 0,
          bodyTimeout: 0,
          ...(body !== undefined && {
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(body),
          }),
        })
        return toAnswer(answer.statusCode, await readText(answer.body, longestAnswer))
      } catch (error) {
        if (!isAbort(error) && !signal.aborted)
          throw new Error(`${method} ${path}: ${messageOf(error)}`, { cause: error })
        throw new Error(`${method} ${path}: ${abort?.aborted ? 'given up' : `no answer within ${ms / 1000} s`}`, {
          cause: error,
        })
      }
    },
    close: async () => agent?.destroy(),
  }
}

function toAnswer(status: number, text: string): EngineAnswer {
  try {
    return { status, text, body: JSON.parse(text) }
  } catch {
    return { status, text, body: undefined }
  }
}

/** The text of an answer for an `error` entry or a problem: bounded, on one line. */
export function describeAnswer({ status, text }: EngineAnswer): string {
  return text.trim() === '' ? `HTTP ${status} without a body` : text.trim().replaceAll(/\s+/g, ' ').slice(0, 600)
}
