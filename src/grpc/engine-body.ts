// What the engine is asked for one prompt or text, as JSON. Pure.
import type { CompleteRequest } from '../api/inference.ts'
import { renderGuided } from '../engine/guided.ts'

/** The rest of a body, to which each prompt is added: a big schema is rendered once, not a thousand times. */
export type CommonBody = string

/**
 * `vllm.LLM` does not read the model's generation_config.json, `vllm serve` does: every value it could set is sent, so that a
 * client gets the same texts as from the old service (A1.8, notes).
 * @param version of vLLM; looked at for guided decoding alone
 */
export function renderCompletionCommon(
  request: CompleteRequest,
  engine: { model: string; version: string },
  stream: boolean,
): CommonBody {
  return JSON.stringify({
    model: engine.model,
    ...(request.max_tokens > 0 && { max_tokens: request.max_tokens }),
    temperature: request.temperature ?? 1,
    top_p: request.top_p ?? 1,
    top_k: -1,
    min_p: 0,
    repetition_penalty: 1,
    ...renderGuided(request.guided_decoding, engine.version),
    ...(stream && { stream: true, stream_options: { include_usage: true } }),
  })
}

export function renderEmbeddingCommon(model: string): CommonBody {
  return JSON.stringify({ model, encoding_format: 'float' })
}

export function renderBody(common: CommonBody, field: 'prompt' | 'input', text: string): string {
  return `${common.slice(0, -1)},"${field}":${JSON.stringify(text)}}`
}
