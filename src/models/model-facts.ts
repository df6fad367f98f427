// What config.json says about a model, as far as its split over GPUs and its data type need it.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export type ModelFacts = {
  architectures: readonly string[]
  attentionHeads?: number
  keyValueHeads?: number
  vocabSize?: number
  layers?: number
  maxPositionEmbeddings?: number
  /** `bfloat16`, as the weights are stored. */
  dtype?: string
  quantization?: string
}

/** Undefined where the folder has no readable config.json (gguf, mistral format). */
export async function readModelFacts(folder: string): Promise<ModelFacts | undefined> {
  try {
    return parseModelFacts(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')))
  } catch {
    return undefined
  }
}

/** Pure. Multimodal models keep the language model's figures in text_config or llm_config; those win. */
export function parseModelFacts(config: unknown): ModelFacts | undefined {
  const outer = objectOf(config)
  if (!outer) return undefined
  const inner =
    objectOf(outer['text_config']) ?? objectOf(outer['llm_config']) ?? objectOf(outer['language_config']) ?? {}
  const pick = (...names: string[]) =>
    names.flatMap((name) => [inner[name], outer[name]]).find((one) => one !== undefined && one !== null)
  const number = (...names: string[]) => {
    const found = pick(...names)
    return typeof found === 'number' && Number.isInteger(found) && found > 0 ? found : undefined
  }
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)
  const quantization = objectOf(outer['quantization_config']) ?? objectOf(inner['quantization_config'])
  const architectures = Array.isArray(outer['architectures']) ? outer['architectures'] : []
  const facts = {
    attentionHeads: number('num_attention_heads', 'n_head', 'n_heads', 'num_heads'),
    keyValueHeads: number('num_key_value_heads', 'num_kv_heads', 'n_head_kv'),
    vocabSize: number('vocab_size', 'padded_vocab_size'),
    layers: number('num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'),
    maxPositionEmbeddings: number('max_position_embeddings', 'n_positions', 'max_sequence_length', 'seq_length'),
    dtype: text(pick('torch_dtype', 'dtype')),
    quantization: text(quantization?.['quant_method']),
  }
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined))
  return { ...known, architectures: architectures.filter((one): one is string => typeof one === 'string') }
}

function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}
