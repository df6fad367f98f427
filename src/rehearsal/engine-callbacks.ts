// Delivery of PoC batches (contracts/poc-engine.md 2.2): every interval, below 400 is success, backoff 1 s doubling to 30 s,
// bounded buffer with the oldest dropped, ten tries in the newer generations.
import { request } from 'node:http'
import type { Knobs } from './engine-knobs.ts'
import type { PocAsk } from './engine-poc-asks.ts'
import type { Verdict } from './engine-validation.ts'

export type Artifact = { nonce: number; vector_b64: string }

export interface Callbacks {
  add(artifacts: readonly Artifact[]): void
  sendVerdict(verdict: Verdict): void
  end(): void
  /** Ends once what was added is delivered or given up. */
  endWhenSent(): void
}

const maxBuffered = 1_000_000

export function startCallbacks(ask: PocAsk, knobs: Knobs, requestId?: string, model?: string): Callbacks {
  const state = { buffer: [] as Artifact[], verdict: undefined as Verdict | undefined, ended: false, last: false }
  const timer = { wake: () => {} }
  void run()
  return {
    add(artifacts) {
      state.buffer.push(...artifacts)
      if (state.buffer.length > maxBuffered) state.buffer.splice(0, state.buffer.length - maxBuffered)
    },
    sendVerdict(verdict) {
      state.verdict = verdict
    },
    end() {
      state.ended = true
      timer.wake()
    },
    endWhenSent() {
      state.last = true
      timer.wake()
    },
  }

  async function run(): Promise<void> {
    let failures = 0
    while (!state.ended) {
      await pause(failures ? Math.min(30_000, 1000 * 2 ** (failures - 1)) : knobs.callbackMs, timer)
      if (state.ended) return
      const artifacts = state.buffer.splice(0)
      const sent = artifacts.length === 0 && !state.verdict ? true : await send(artifacts)
      failures = sent ? 0 : failures + 1
      const lost = knobs.generation !== 'v0-overlay' && failures >= 10
      if (!sent && !lost) state.buffer.unshift(...artifacts)
      if (lost) failures = 0
      if (state.last && (sent || lost)) return
    }
  }

  function send(artifacts: readonly Artifact[]): Promise<boolean> {
    const common = { public_key: ask.publicKey, block_hash: ask.blockHash, block_height: ask.blockHeight }
    const about = { ...common, node_id: ask.nodeId, ...(requestId && { request_id: requestId }) }
    const encoding = { dtype: 'f16', k_dim: ask.params.k_dim, endian: 'le' }
    return state.verdict
      ? post(`${ask.url}/validated`, { ...about, ...state.verdict, model })
      : post(`${ask.url}/generated`, { ...about, artifacts, encoding })
  }
}

function post(url: string, body: unknown): Promise<boolean> {
  return new Promise((resolve) => {
    const text = JSON.stringify(body)
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    try {
      const sent = request(url, { method: 'POST', headers, timeout: 10_000 }, (answer) => {
        answer.resume()
        answer.once('close', () => resolve((answer.statusCode ?? 500) < 400))
      })
      sent.once('timeout', () => sent.destroy())
      sent.once('error', () => resolve(false))
      sent.end(text)
    } catch {
      resolve(false)
    }
  })
}

function pause(ms: number, timer: { wake: () => void }): Promise<void> {
  return new Promise((resolve) => {
    const handle = setTimeout(resolve, ms)
    timer.wake = () => {
      clearTimeout(handle)
      resolve()
    }
  })
}
