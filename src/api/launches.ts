// The launch service as its clients see it (contracts/control-plane.md A1.1, A1.2, A1.6): REST bodies, in wire spelling.
import { z } from 'zod'

export const launchTasks = ['generate', 'embed'] as const
export type LaunchTask = (typeof launchTasks)[number]

export const launchStates = ['bootstrapping', 'ready', 'stopping', 'stopped', 'failed'] as const
export type LaunchState = (typeof launchStates)[number]

export const isTerminal = (state: LaunchState): boolean => state === 'stopped' || state === 'failed'

/** Optional fields are ours; what a client of the old service sends has the first four. */
export type LaunchRequest = {
  model: string
  /** null: all visible ones, or as many as `gpu_count` says. */
  gpu_ids: readonly number[] | null
  task: LaunchTask
  /** Arguments of `vllm.LLM`, in snake case; they become flags of `vllm serve`. */
  extra_kwargs: Readonly<Record<string, unknown>>
  /** The fleet picks so many free GPUs; together with `gpu_ids` it is refused. */
  gpu_count?: number
  /** Of free memory that each picked GPU must have, MiB. */
  min_free_mib?: number
  /** Wait for the GPUs instead of 409. */
  queue?: boolean
  /** Stopped so long after it became ready, s. */
  ttl_seconds?: number
  /** Stopped after so long without a request, s. */
  idle_stop_seconds?: number
  name?: string
}

const diagnosis = z.object({ code: z.string(), title: z.string(), evidence: z.string(), remedy: z.string() })

export const launchResponse = z.object({
  launch_id: z.string(),
  model: z.string(),
  gpu_ids: z.array(z.int()),
  task: z.enum(launchTasks),
  state: z.enum(launchStates),
  /** RFC 3339, UTC, microseconds, `Z`. */
  created_at: z.string(),
  updated_at: z.string(),
  error: z.string().nullable(),
  /** From here on ours, each only where it says something. */
  name: z.string().optional(),
  /** configuration: the node's own model, which the env file asks for. */
  owner: z.literal('configuration').optional(),
  /** Why it failed; while it waits, what is in its way. */
  diagnosis: diagnosis.optional(),
  /** Of the load: stage as the engine's log tells it, percent of the weights, s since the engine was started. */
  progress: z
    .object({ stage: z.string().optional(), percent: z.number().optional(), seconds: z.number().optional() })
    .optional(),
  /** From 1; while it waits for GPUs. */
  queue_position: z.int().optional(),
  ttl_seconds: z.number().optional(),
  idle_stop_seconds: z.number().optional(),
})
export type LaunchResponse = z.output<typeof launchResponse>

export const logsResponse = z.object({
  launch_id: z.string(),
  /** Bytes into the log; the one asked for, at most the size. */
  offset: z.int(),
  next_offset: z.int(),
  content: z.string(),
})
export type LogsResponse = z.output<typeof logsResponse>
