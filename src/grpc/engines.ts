// The engines of a launch as the calls use them: the least busy one for each prompt, and another try where one broke off.
import { readVersion } from '../engine/read-version.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'
import { pickUpstream } from '../proxy/pick.ts'
import { CallError } from './call-error.ts'
import { EngineRefused } from './engine-answer.ts'
import { type AnswerSink, askEngine, type EngineAnswer, EngineBroke } from './engine-exchange.ts'
import { createPools } from './pools.ts'

export type PromptAsk<T> = {
  launchId: string
  path: '/v1/completions' | '/v1/embeddings'
  render: (upstream: Upstream) => string | Promise<string>
  /** @throws EngineRefused */
  parse: (answer: EngineAnswer) => T
  sink?: AnswerSink
}

export interface Engines {
  /** @throws CallError `Launch <id> subprocess crashed`; EngineRefused; the abort's reason */
  ask<T>(ask: PromptAsk<T>, abort: AbortSignal): Promise<T>
  /** Of vLLM, as the engine itself tells. @throws what reading it says */
  version(upstream: Upstream): Promise<string>
  /** Serving ones. */
  count(launchId: string): number
  end(): void
}

export function createEngines(launches: Pick<Launches, 'upstreams'>): Engines {
  const pools = createPools()
  const versions = new WeakMap<Upstream, Promise<string>>()
  const state = { turn: 0 }

  async function askOnce<T>(upstream: Upstream, ask: PromptAsk<T>, abort: AbortSignal): Promise<T> {
    using turn = upstream.begin()
    const body = await ask.render(upstream)
    abort.throwIfAborted()
    return ask.parse(
      await askEngine(pools.of(upstream), { path: ask.path, body, port: upstream.port, abort }, turn, ask.sink),
    )
  }

  return {
    async ask(ask, abort) {
      let broken: Upstream | undefined
      for (let tries = 0; tries < 2; tries += 1) {
        const serving = launches.upstreams(ask.launchId)
        // A reset may also be a connection that the engine closed as idle: then the same one answers.
        const upstream = pickUpstream(serving, (state.turn += 1), broken) ?? pickUpstream(serving, 0)
        if (!upstream) break
        try {
          return await askOnce(upstream, ask, abort)
        } catch (error) {
          if (!isDeath(error)) throw error
          // Pieces that were passed on cannot be taken back.
          if (error instanceof EngineBroke && error.begun && ask.sink) break
          broken = upstream
        }
      }
      throw new CallError('FAILED_PRECONDITION', `Launch ${ask.launchId} subprocess crashed`)
    },
    version(upstream) {
      const known = versions.get(upstream)
      if (known) return known
      const reading = readVersion(upstream.origin)
      versions.set(upstream, reading)
      reading.catch(() => versions.delete(upstream))
      return reading
    },
    count: (id) => launches.upstreams(id).filter(({ state: { value } }) => value === 'serving').length,
    end: () => pools.end(),
  }
}

const isDeath = (error: unknown): boolean =>
  error instanceof EngineBroke || (error instanceof EngineRefused && error.isDying)
