// One launch as it is kept on disk and as it is told. Pure.
import { z } from 'zod'
import { launchStates, launchTasks, type LaunchRequest, type LaunchResponse } from '../api/launches.ts'
import type { Problem } from '../api/status.ts'

const requestSchema = z.object({
  model: z.string(),
  gpu_ids: z.array(z.int()).readonly().nullable(),
  task: z.enum(launchTasks),
  extra_kwargs: z.record(z.string(), z.unknown()),
  gpu_count: z.int().optional(),
  min_free_mib: z.number().optional(),
  queue: z.boolean().optional(),
  ttl_seconds: z.number().optional(),
  idle_stop_seconds: z.number().optional(),
  name: z.string().optional(),
})

const problemSchema = z.object({ code: z.string(), title: z.string(), evidence: z.string(), remedy: z.string() })

export const launchRecordSchema = z.object({
  version: z.literal(1),
  id: z.uuid(),
  request: requestSchema,
  /** Those that it has; those that it asked for while it waits for them. */
  gpuIds: z.array(z.int()).readonly(),
  state: z.enum(launchStates),
  /** It waits for GPUs and has none yet. */
  queued: z.boolean().optional(),
  error: z.string().nullable(),
  diagnosis: problemSchema.optional(),
  /** RFC 3339 with microseconds; unique, so that they tell the order, too. */
  createdAt: z.string(),
  updatedAt: z.string(),
  /** Wall time, ms. */
  readyAt: z.number().optional(),
  bootId: z.string(),
  logPath: z.string(),
})
export type LaunchRecord = z.output<typeof launchRecordSchema>

/** What its engine, or what it waits for, tells of a launch that has not ended. */
export type LaunchNews = {
  /** The engine ends, though nobody asked for it. */
  ending?: boolean
  stage?: string | undefined
  percent?: number | undefined
  /** Wall time, ms, when its engine was started. */
  startedAt?: number | undefined
  queuePosition?: number | undefined
  /** Why it waits, where that is wrong. */
  problem?: Problem | undefined
}

export const launchOwner = (id: string) => `launch:${id}` as const

/** Undefined for the engines of the node itself. */
export function toLaunchId(owner: string): string | undefined {
  return owner.startsWith('launch:') ? owner.slice('launch:'.length) : undefined
}

/** @param microseconds since 1970 */
export function toStamp(microseconds: number): string {
  const [whole, rest] = [Math.floor(microseconds / 1000), microseconds % 1000]
  return new Date(whole).toISOString().replace('Z', `${String(rest).padStart(3, '0')}Z`)
}

export function fromStamp(stamp: string): number {
  const rest = /\.\d{3}(\d{3})Z$/.exec(stamp)?.[1] ?? '0'
  return Date.parse(stamp) * 1000 + Number(rest)
}

export function toDiagnosis({ code, title, evidence, remedy }: Problem) {
  return { code, title, evidence, remedy }
}

/** One text for clients that show nothing else. */
export function describeProblem({ code, title, evidence, remedy }: Problem): string {
  return `${title}: ${evidence} (${code}); ${remedy}`
}

/** @param wall the time now, ms; `progress.seconds` counts on by it whenever it is read */
export function toLaunchResponse(record: LaunchRecord, news: LaunchNews | undefined, wall: () => number) {
  const { request } = record
  const diagnosis = news?.problem ? toDiagnosis(news.problem) : record.diagnosis
  const { name, ttl_seconds, idle_stop_seconds } = request
  const state = news?.ending && record.state !== 'stopping' ? ('stopping' as const) : record.state
  return {
    launch_id: record.id,
    model: request.model,
    gpu_ids: [...record.gpuIds],
    task: request.task,
    state,
    created_at: record.createdAt,
    updated_at: record.updatedAt,
    error: record.error,
    ...(name !== undefined && { name }),
    ...(diagnosis && { diagnosis }),
    ...(state === 'bootstrapping' && news && { progress: toProgress(news, wall) }),
    ...(news?.queuePosition !== undefined && { queue_position: news.queuePosition }),
    ...(ttl_seconds !== undefined && { ttl_seconds }),
    ...(idle_stop_seconds !== undefined && { idle_stop_seconds }),
  } satisfies LaunchResponse
}

export function toProgress({ stage, percent, startedAt }: LaunchNews, wall: () => number) {
  return {
    ...(stage !== undefined && { stage }),
    ...(percent !== undefined && { percent }),
    ...(startedAt !== undefined && {
      get seconds() {
        return Math.max(0, Math.round((wall() - startedAt) / 100) / 10)
      },
    }),
  }
}

/** Without what is not a request of ours, and the model without blanks around it. */
export function toRequest(given: LaunchRequest): LaunchRecord['request'] {
  return requestSchema.parse({ ...given, model: given.model.trim() })
}
