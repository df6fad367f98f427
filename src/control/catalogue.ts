// Which models are there: of every launch that serves, with what its engine says of them in /v1/models. Bounded in time and size;
// an engine that hangs is left out.
import { readText, request } from '../core/http-client.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'

export type ModelCard = { id: string; [key: string]: unknown }
export type Serving = { launchId: string; upstream: Upstream; cards: readonly ModelCard[] }

export interface Catalogue {
  /** By name: engines that serve now under it, without asking them. */
  byName(model: string): readonly Upstream[]
  /** All that serve, with their cards; at most 2 s old. */
  read(): Promise<readonly Serving[]>
}

const patienceMs = 2000
const fresh = 2000
const maxBytes = 4 * 1024 * 1024

export function createCatalogue(launches: Launches, clock: Clock = systemClock): Catalogue {
  const state: { known?: { at: number; from: string; serving: Promise<readonly Serving[]> } } = {}
  const serving = () =>
    launches.all
      .peek()
      .flatMap(({ launch_id: launchId }) =>
        launches.upstreams(launchId).flatMap((upstream) => (isServing(upstream) ? [{ launchId, upstream }] : [])),
      )
  return {
    byName: (model) => serving().flatMap(({ upstream }) => (upstream.model === model ? [upstream] : [])),
    read() {
      const now = serving()
      const from = now.map(({ upstream }) => upstream.id).join(' ')
      if (state.known?.from === from && clock.now() - state.known.at < fresh) return state.known.serving
      const found = Promise.all(now.map(async (one) => ({ ...one, cards: await readCards(one.upstream) })))
      state.known = { at: clock.now(), from, serving: found }
      return found
    },
  }
}

/** An engine that does not answer still has its name. */
async function readCards(upstream: Upstream): Promise<readonly ModelCard[]> {
  const plain = [{ id: upstream.model, object: 'model' }]
  try {
    const signal = AbortSignal.timeout(patienceMs)
    const { statusCode, body } = await request(`${upstream.origin}/v1/models`, { signal })
    const told = JSON.parse(await readText(body, maxBytes)) as { data?: unknown }
    if (statusCode !== 200 || !Array.isArray(told.data)) return plain
    return told.data.filter(isCard)
  } catch {
    return plain
  }
}

const isCard = (value: unknown): value is ModelCard =>
  typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string'

const isServing = ({ state }: Upstream) => state.peek() === 'serving'
