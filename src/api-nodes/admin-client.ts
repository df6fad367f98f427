// HTTP to one API node's admin port. Never throws, never follows a redirect, reads a bounded answer, and every call has a bound.
import type { Pool } from 'undici'
import { within } from '../core/abort.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { createPool, readText } from '../core/http-client.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import type { Answer } from './classify.ts'

export type Ask = {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: unknown
  timeoutMs: number
}

export interface AdminClient {
  /** `10.0.0.1:9200`, for messages. */
  readonly address: string
  send(ask: Ask, abort: AbortSignal): Promise<Answer>
  /** Cuts what is open. */
  end(): Promise<void>
}

/** A list of 5,000 nodes is about 8 MB. */
const mostBytes = 16 * 1024 * 1024

export function createAdminClient(apiNode: HostPort): AdminClient {
  const address = renderHostPort(apiNode)
  // Two connections: a call that hangs does not hold up the next.
  const options = { connections: 2, pipelining: 1, connect: { timeout: 5_000 } }
  let pool: Pool | undefined
  return {
    address,
    send: async (ask, abort) => {
      try {
        return await send((pool ??= createPool(`http://${address}`, options)), ask, abort)
      } catch (error) {
        return { kind: 'failed', how: judgeFailure(error), why: describeFailure(error, ask) }
      }
    },
    end: async () => pool?.destroy(),
  }
}

async function send(pool: Pool, { method, path, body, timeoutMs }: Ask, abort: AbortSignal): Promise<Answer> {
  const answer = await pool.request({
    method,
    path,
    headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }) },
    body: body === undefined ? null : JSON.stringify(body),
    signal: within(Math.ceil(timeoutMs), abort),
    headersTimeout: Math.ceil(timeoutMs),
    bodyTimeout: Math.ceil(timeoutMs),
  })
  const text = await readText(answer.body, mostBytes)
  const { location } = answer.headers
  return {
    kind: 'answered',
    status: answer.statusCode,
    text,
    ...(typeof location === 'string' && { location }),
  }
}

function judgeFailure(error: unknown): 'unreachable' | 'silent' | 'garbage' {
  const code = codeOf(error) ?? ''
  if (code.startsWith('HPE_') || (error instanceof Error && error.name === 'HTTPParserError')) return 'garbage'
  const isLate =
    code === 'UND_ERR_HEADERS_TIMEOUT' ||
    code === 'UND_ERR_BODY_TIMEOUT' ||
    (error instanceof Error && error.name === 'TimeoutError')
  return isLate ? 'silent' : 'unreachable'
}

function describeFailure(error: unknown, ask: Ask): string {
  return judgeFailure(error) === 'silent' ? `no answer within ${Math.ceil(ask.timeoutMs)} ms` : messageOf(error)
}
