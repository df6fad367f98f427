// What callers write, turned into what goes over the wire. Pure.
import type { LaunchRequest, LaunchTask } from '../api/launches.ts'

export type LaunchWish = {
  model: string
  /** All visible GPUs where neither this nor `gpuCount` is given. */
  gpuIds?: readonly number[]
  /** The service picks so many free ones. */
  gpuCount?: number
  /** Of free memory that each picked GPU must have, MiB. */
  minFreeMib?: number
  task?: LaunchTask
  /** Arguments of `vllm.LLM`: `{ max_model_len: 4096 }`. */
  extraKwargs?: Readonly<Record<string, unknown>>
  /** Wait for GPUs that are in use instead of being refused. */
  queue?: boolean
  /** Stopped so long after it became ready, s. */
  ttlSeconds?: number
  /** Stopped after so long without a request, s. */
  idleStopSeconds?: number
  name?: string
}

export function toLaunchRequest(wish: LaunchWish): Partial<LaunchRequest> & { model: string } {
  return withoutAbsent({
    model: wish.model,
    gpu_ids: wish.gpuIds,
    gpu_count: wish.gpuCount,
    min_free_mib: wish.minFreeMib,
    task: wish.task,
    extra_kwargs: wish.extraKwargs,
    queue: wish.queue,
    ttl_seconds: wish.ttlSeconds,
    idle_stop_seconds: wish.idleStopSeconds,
    name: wish.name,
  })
}

export type Guided =
  | { jsonSchema: string | object }
  | { regex: string }
  | { grammar: string }
  | { choice: readonly string[] }

export type Sampling = {
  /** The engine's default (16) where not said. */
  maxTokens?: number
  temperature?: number
  topP?: number
  guided?: Guided
}

export function toSampling({ maxTokens, temperature, topP, guided }: Sampling) {
  return withoutAbsent({
    max_tokens: maxTokens ?? 0,
    temperature,
    top_p: topP,
    guided_decoding: guided && toGuided(guided),
  })
}

function toGuided(guided: Guided): object {
  if ('choice' in guided) return { choice: guided.choice }
  if ('regex' in guided) return { regex: guided.regex }
  if ('grammar' in guided) return { grammar: guided.grammar }
  const { jsonSchema } = guided
  return { json_schema: typeof jsonSchema === 'string' ? jsonSchema : JSON.stringify(jsonSchema) }
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

function withoutAbsent<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Present<T>
}
