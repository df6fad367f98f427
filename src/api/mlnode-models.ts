// Models of the MLNode API (contracts/node-api.md 1.8).
import { z } from 'zod'

export const modelBody = z.object({
  hf_repo: z.string().trim().min(1),
  hf_commit: z.string().nullish(),
})

export type ModelName = { hf_repo: string; hf_commit: string | null }

export type ModelStatus = 'DOWNLOADED' | 'DOWNLOADING' | 'NOT_FOUND' | 'PARTIAL'

export type ModelStatusAnswer = {
  model: ModelName
  status: ModelStatus
  /** start_time in seconds since 1970. */
  progress?: { start_time: number; elapsed_seconds: number }
  error_message?: string
}

/** 202 of `/models/download`; IGNORED and a task id that ends in `:offline` where downloads are switched off. */
export type DownloadAnswer = { task_id: string; status: ModelStatus | 'IGNORED'; model: ModelName }

export type DeleteAnswer = { status: 'deleted' | 'cancelled'; model: ModelName }

export type ModelListAnswer = { models: { model: ModelName; status: ModelStatus }[] }

export type ModelSpaceAnswer = { cache_size_gb: number; available_gb: number; cache_path: string }
