// Inference on one launch: completions, embeddings, tokens.
import type { Completion as WireCompletion, TokenChunk } from '../api/inference.ts'
import { type Call, type Inference, inferenceService, tokenService } from './inference.ts'
import { type Sampling, toSampling } from './request.ts'

export type Completion = { text: string; promptTokens: number; completionTokens: number }

export type Token = {
  /** Of its prompt, from 0. */
  index: number
  text: string
  /** In the last piece of a prompt, as are the counts: `stop`, `length`, … */
  finishReason?: string
  promptTokens?: number
  completionTokens?: number
}

export type CompleteOptions = Sampling & Call

export interface Generation {
  /** One per prompt, in their order. @throws InferenceError */
  complete(prompts: readonly string[], options?: CompleteOptions): Promise<Completion[]>
  /** Each as soon as it and those before it are finished. Leaving the loop cancels the rest. */
  completeStream(prompts: readonly string[], options?: CompleteOptions): AsyncGenerator<Completion>
  /** One vector per text, in their order. @throws InferenceError */
  embed(texts: readonly string[], call?: Call): Promise<number[][]>
  embedStream(texts: readonly string[], call?: Call): AsyncGenerator<number[]>
  /** Pieces of text as the engine makes them. Several prompts run at the same time: `index` tells their pieces apart. */
  tokens(prompts: string | readonly string[], options?: CompleteOptions): AsyncGenerator<Token>
}

export function createGeneration(id: string, inference: Inference): Generation {
  return {
    async complete(prompts, options = {}) {
      const request = { launch_id: id, prompts, ...toSampling(options) }
      const { completions } = await inference.ask<{ completions: WireCompletion[] }>(
        `${inferenceService}/Complete`,
        request,
        options,
      )
      return completions.map(toCompletion)
    },
    async *completeStream(prompts, options = {}) {
      const request = { launch_id: id, prompts, ...toSampling(options) }
      for await (const one of inference.stream<WireCompletion>(`${inferenceService}/CompleteStream`, request, options))
        yield toCompletion(one)
    },
    async embed(texts, call = {}) {
      const request = { launch_id: id, texts }
      const { embeddings } = await inference.ask<{ embeddings: { values: number[] }[] }>(
        `${inferenceService}/Embed`,
        request,
        call,
      )
      return embeddings.map(({ values }) => values)
    },
    async *embedStream(texts, call = {}) {
      for await (const { values } of inference.stream<{ values: number[] }>(
        `${inferenceService}/EmbedStream`,
        { launch_id: id, texts },
        call,
      ))
        yield values
    },
    async *tokens(prompts, options = {}) {
      const request = {
        launch_id: id,
        prompts: typeof prompts === 'string' ? [prompts] : prompts,
        ...toSampling(options),
      }
      for await (const one of inference.stream<TokenChunk>(`${tokenService}/TokenStream`, request, options))
        yield toToken(one)
    },
  }
}

const toCompletion = ({ text, prompt_tokens, completion_tokens }: WireCompletion): Completion => ({
  text,
  promptTokens: prompt_tokens,
  completionTokens: completion_tokens,
})

const toToken = ({ index, text, ...last }: TokenChunk): Token => ({
  index,
  text,
  ...(last.finish_reason !== undefined && { finishReason: last.finish_reason }),
  ...(last.prompt_tokens !== undefined && { promptTokens: last.prompt_tokens }),
  ...(last.completion_tokens !== undefined && { completionTokens: last.completion_tokens }),
})
