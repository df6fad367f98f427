// `GET /stats` of the launch service (contracts/control-plane.md A1.7), in wire spelling.
import { z } from 'zod'

const count = z.int().nullable()
const measure = z.number().nullable()

export const gpuStats = z.object({
  gpu_id: z.int(),
  uuid: z.string().nullable(),
  /** "unknown" where the driver gives none. */
  name: z.string(),
  utilization_percent: measure,
  memory_total_mib: count,
  memory_used_mib: count,
  memory_free_mib: count,
  temperature_c: count,
  power_draw_watts: measure,
  power_limit_watts: measure,
})

export const systemStats = z.object({
  /** RFC 3339, UTC, microseconds, `Z`. */
  collected_at: z.string(),
  load_avg_1m: measure,
  load_avg_5m: measure,
  load_avg_15m: measure,
  cpu_count: count,
  memory_total_bytes: count,
  memory_available_bytes: count,
  memory_used_bytes: count,
  memory_utilization_percent: measure,
  host_memory_error: z.string().nullable(),
  gpu_count: z.int(),
  /** By id. */
  gpus: z.array(gpuStats),
  nvidia_smi_error: z.string().nullable(),
})
export type SystemStats = z.output<typeof systemStats>
