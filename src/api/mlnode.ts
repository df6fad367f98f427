// The MLNode API in its newest shape (contracts/node-api.md): state, orders and health. Clients of old nodes know `state` alone.
import { z } from 'zod'

export const nodeState = z.object({
  state: z.enum(['POW', 'INFERENCE', 'TRAIN', 'STOPPED']),
  version: z.string(),
  poc_status: z.string().nullable(),
  inference_healthy: z.boolean().nullable(),
  loaded_model: z.string().nullable(),
  poc_validation_inference: z.boolean(),
})
export type NodeState = z.output<typeof nodeState>

export const nodeVersions = z.object({
  version: z.string(),
  vllm_version: z.string().nullable(),
  poc_validation_inference: z.boolean(),
})
export type NodeVersions = z.output<typeof nodeVersions>

/** Body of `/inference/up` and `/inference/up/async`. Unknown keys are ignored, as the old node did. */
export const upBody = z.object({
  model: z.string().min(1),
  dtype: z.string().min(1),
  /** A Go client writes an empty list as null. */
  additional_args: z
    .array(z.string())
    .nullish()
    .transform((args) => args ?? []),
})

export type UpStatusAnswer = {
  status: 'not_started' | 'in_progress' | 'completed' | 'failed' | 'cancelled'
  is_starting: boolean
  is_running: boolean
  elapsed_seconds: number | null
  error: string | null
}

export type ManagerHealth = { running: boolean; healthy: boolean }

/** Of `/health` and `/livez`; the status code is 503 when `status` is unhealthy. */
export type NodeHealth = {
  status: 'healthy' | 'unhealthy'
  service_state: NodeState['state']
  gpu: { available: boolean; count: number; devices: GpuDevice[] }
  managers: Record<'pow' | 'inference' | 'train', ManagerHealth>
}

/** Sizes in MiB, which is what the old node calls mb. Fields that the driver does not know are absent. */
export type GpuDevice = {
  index: number
  name: string
  total_memory_mb?: number
  free_memory_mb?: number
  used_memory_mb?: number
  utilization_percent?: number
  temperature_c?: number
  is_available: boolean
  error_message?: string
}

export type GpuDriver = { driver_version: string; cuda_driver_version: string; nvml_version: string }
