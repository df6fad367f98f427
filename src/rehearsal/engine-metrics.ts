// The counters of the rehearsal engine and their text, with the names of facts/vllm.md 2.9.
import type { Generation } from './engine-knobs.ts'

export type Counters = {
  running: number
  waiting: number
  promptTokens: number
  generationTokens: number
  iterations: number
  iterationTokens: number
  finished: { stop: number; length: number; abort: number; error: number }
}

export function createCounters(): Counters {
  return {
    running: 0,
    waiting: 0,
    promptTokens: 0,
    generationTokens: 0,
    iterations: 0,
    iterationTokens: 0,
    finished: { stop: 0, length: 0, abort: 0, error: 0 },
  }
}

export function renderMetrics(counters: Counters, model: string, generation: Generation): string {
  const labels = generation === 'v0-overlay' ? `model_name="${model}"` : `engine="0",model_name="${model}"`
  const family = (name: string, type: string, help: string, samples: [string, string, number][]) => [
    `# HELP vllm:${name} ${help}`,
    `# TYPE vllm:${name} ${type}`,
    ...samples.map(([suffix, extra, value]) => `vllm:${name}${suffix}{${labels}${extra}} ${value.toFixed(1)}`),
  ]
  const kv = generation === 'v0-overlay' ? 'gpu_cache_usage_perc' : 'kv_cache_usage_perc'
  const success = Object.entries(counters.finished).map(([reason, value]): [string, string, number] => [
    '',
    `,finished_reason="${reason}"`,
    value,
  ])
  return `${[
    ...family('num_requests_running', 'gauge', 'Number of requests in model execution batches.', [
      ['', '', counters.running],
    ]),
    ...family('num_requests_waiting', 'gauge', 'Number of requests waiting to be processed.', [
      ['', '', counters.waiting],
    ]),
    ...family(kv, 'gauge', 'KV-cache usage. 1 means 100 percent usage.', [
      ['', '', Math.min(1, counters.running / 64)],
    ]),
    ...family('prompt_tokens_total', 'counter', 'Number of prefill tokens processed.', [
      ['', '', counters.promptTokens],
    ]),
    ...family('generation_tokens_total', 'counter', 'Number of generation tokens processed.', [
      ['', '', counters.generationTokens],
    ]),
    ...family('request_success_total', 'counter', 'Count of successfully processed requests.', success),
    ...family('iteration_tokens_total', 'histogram', 'Histogram of number of tokens per engine_step.', [
      ['_bucket', ',le="1.0"', counters.iterations],
      ['_bucket', ',le="+Inf"', counters.iterations],
      ['_count', '', counters.iterations],
      ['_sum', '', counters.iterationTokens],
    ]),
    ...family('num_preemptions_total', 'counter', 'Cumulative number of preemption from the engine.', [['', '', 0]]),
  ].join('\n')}\n`
}
