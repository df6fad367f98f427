// What the methods do once the key is right: check, share out to the launch's engines, hand over results. Knows nothing of gRPC's
// streams; a call's work ends with its abort.
import { isGuided } from '../engine/guided.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'
import { type Outlet, runBatch } from './batch.ts'
import type { Definitions } from './definitions.ts'
import { createDesk, type Desk } from './desk.ts'
import { parseCompletion, parseEmbedding, parseStreamed } from './engine-answer.ts'
import { renderBody, renderCompletionCommon, renderEmbeddingCommon } from './engine-body.ts'
import type { EngineAnswer } from './engine-exchange.ts'
import { createEngines, type Engines } from './engines.ts'
import { type CallFacts, judgeCall } from './judge-call.ts'
import type { Share } from './look-ahead.ts'
import type { CompleteRequest, EmbedRequest } from '../api/inference.ts'
import { runTokens, type TokenPlan } from './token-stream.ts'

/** Where the results of a call go. */
export type Destination = { outlet: Outlet; share: Share }

/** Resolves when all is written. @throws CallError, EngineRefused, the abort's reason */
export type Run<T> = (request: T, to: Destination, abort: AbortController) => Promise<void>

export type Work = {
  /** Writes one encoded `Completion` per prompt, in order. */
  readonly complete: Run<CompleteRequest>
  /** Writes one encoded `Embedding` per text, in order. */
  readonly embed: Run<EmbedRequest>
  /** Writes encoded `TokenChunk`s as they come. */
  readonly tokens: Run<CompleteRequest>
  readonly end: () => void
}

export type WorkDeps = {
  launches: Pick<Launches, 'get' | 'upstreams'>
  definitions: Pick<Definitions, 'encodeCompletion' | 'encodeToken'>
}

/** As many as vLLM batches on the biggest GPUs by default (max_num_seqs); what is more would only wait there. */
const promptsPerEngine = 1024

export function createWork({ launches, definitions }: WorkDeps): Work {
  const engines = createEngines(launches)
  const desks = createDesks((launchId) => promptsPerEngine * Math.max(1, engines.count(launchId)))
  /** Checks, and runs `run` at the desk of the launch. */
  const at = async (ask: CallFacts, run: (desk: Desk) => Promise<void>) => {
    const refusal = judgeCall(ask, launches.get(ask.launchId))
    if (refusal) throw refusal
    using taken = desks.take(ask.launchId)
    await run(taken.desk)
  }
  return {
    complete: (request, to, abort) =>
      at(toFacts(request), (desk) => {
        const render = createRender(engines, request, false)
        const parse = (answer: EngineAnswer) => definitions.encodeCompletion(parseCompletion(answer))
        const ask = (place: number, signal: AbortSignal) =>
          engines.ask({ ...generate(request), render: (upstream) => render(upstream, place), parse }, signal)
        return runBatch({ count: request.prompts.length, ask, desk, ...to }, abort)
      }),
    embed: ({ launch_id: launchId, texts }, to, abort) =>
      at({ task: 'embed', launchId, count: texts.length }, (desk) => {
        const render = ({ model }: Upstream, place: number) =>
          renderBody(renderEmbeddingCommon(model), 'input', texts[place] ?? '')
        const embed = { launchId, path: '/v1/embeddings', parse: parseEmbedding } as const
        const ask = (place: number, signal: AbortSignal) =>
          engines.ask({ ...embed, render: (upstream) => render(upstream, place) }, signal)
        return runBatch({ count: texts.length, ask, desk, ...to }, abort)
      }),
    tokens: (request, to, abort) =>
      at(toFacts(request), (desk) => {
        const render = createRender(engines, request, true)
        const rest = { ...generate(request), parse: parseStreamed }
        const ask: TokenPlan['ask'] = (place, sink, signal) =>
          engines.ask({ ...rest, render: (upstream) => render(upstream, place), sink }, signal)
        return runTokens({ count: request.prompts.length, ask, encode: definitions.encodeToken, desk, ...to }, abort)
      }),
    end: () => engines.end(),
  }
}

const toFacts = ({ launch_id: launchId, prompts }: CompleteRequest): CallFacts => {
  return { task: 'generate', launchId, count: prompts.length }
}

const generate = ({ launch_id: launchId }: CompleteRequest) => ({ launchId, path: '/v1/completions' }) as const

/** Bodies of one call: what its prompts share is rendered once per engine, in the spelling of that engine's vLLM. */
function createRender(engines: Engines, request: CompleteRequest, stream: boolean) {
  const common = new Map<Upstream, Promise<string>>()
  const start = async (upstream: Upstream) => {
    const version = isGuided(request.guided_decoding) ? await engines.version(upstream) : ''
    return renderCompletionCommon(request, { model: upstream.model, version }, stream)
  }
  return async (upstream: Upstream, place: number): Promise<string> => {
    const known = common.get(upstream) ?? start(upstream)
    common.set(upstream, known)
    return renderBody(await known, 'prompt', request.prompts[place] ?? '')
  }
}

/** One desk per launch, as long as calls use it. */
function createDesks(capacityOf: (launchId: string) => number): {
  take(launchId: string): Disposable & { desk: Desk }
} {
  const desks = new Map<string, { desk: Desk; calls: number }>()
  return {
    take(launchId) {
      const found = desks.get(launchId) ?? { desk: createDesk(() => capacityOf(launchId)), calls: 0 }
      desks.set(launchId, found)
      found.calls += 1
      return {
        desk: found.desk,
        [Symbol.dispose]() {
          found.calls -= 1
          if (found.calls === 0) desks.delete(launchId)
        },
      }
    },
  }
}
