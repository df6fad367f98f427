// `GET /stats` as text: what is a float in the contract has a point also where it is whole, since strictly typed clients tell them apart.
import type { SystemStats } from '../api/stats.ts'

const floats = new Set([
  'load_avg_1m',
  'load_avg_5m',
  'load_avg_15m',
  'memory_utilization_percent',
  'utilization_percent',
  'power_draw_watts',
  'power_limit_watts',
])

/** Pure. */
export function renderStats(stats: SystemStats): string {
  const json = JSON as typeof JSON & { rawJSON(text: string): unknown }
  return JSON.stringify(stats, (key, value: unknown) =>
    floats.has(key) && Number.isInteger(value) ? json.rawJSON(`${value as number}.0`) : value,
  )
}
