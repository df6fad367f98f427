// What config.json of a model says about how it can be split.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelShape } from './parallel.ts'

/** Empty where there is no such file or it says nothing: then vLLM itself is the judge. */
export async function readModelShape(modelPath: string): Promise<ModelShape> {
  try {
    const whole = JSON.parse(await readFile(join(modelPath, 'config.json'), 'utf8')) as Record<string, unknown>
    // Multimodal models keep the language model's part under one of these names.
    const inner = [whole, whole['text_config'], whole['llm_config'], whole['language_config']].find(
      (one) => typeof one === 'object' && one !== null && 'num_attention_heads' in one,
    ) as Record<string, unknown> | undefined
    const heads = toCount(inner?.['num_attention_heads'])
    const vocab = toCount(inner?.['vocab_size'] ?? whole['vocab_size'])
    return { ...(heads && { heads }), ...(vocab && { vocab }) }
  } catch {
    return {}
  }
}

const toCount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined
