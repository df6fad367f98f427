// Reads /metrics of every serving engine, bounded in time and size: one that hangs is left out.
import { request } from '../core/http-client.ts'
import type { Upstream } from '../engine/upstream.ts'
import { type EngineMetrics, mergeMetrics } from './metrics-merge.ts'

/** Scrapers give 5 s to 10 s; what is here after 2.5 s is what they get. */
const patienceMs = 2500
const maxBytes = 8 * 1024 * 1024

/** Engines are named by their slot, which is stable over restarts. */
export async function readMergedMetrics(upstreams: readonly Upstream[]): Promise<string> {
  const alive = upstreams.filter(({ state }) => state.peek() === 'serving' || state.peek() === 'parked')
  const all = await Promise.all(alive.map(readOne))
  return mergeMetrics(all.filter((one) => one !== undefined))
}

async function readOne(upstream: Upstream): Promise<EngineMetrics | undefined> {
  try {
    const signal = AbortSignal.timeout(patienceMs)
    const { statusCode, body } = await request(`${upstream.origin}/metrics`, { signal })
    let text = ''
    for await (const part of body.setEncoding('utf8')) {
      text += part as string
      if (text.length > maxBytes) return undefined
    }
    return statusCode === 200 ? { engine: String(upstream.slot), text } : undefined
  } catch {
    return undefined
  }
}
