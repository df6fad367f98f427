// nvidia-smi's answer for `GET /stats`, read as the old service reads it. Pure.
import type { SystemStats } from '../api/stats.ts'

export type GpuStats = SystemStats['gpus'][number]

const fields =
  'index,uuid,name,utilization.gpu,memory.total,memory.used,memory.free,temperature.gpu,power.draw,power.limit'

export const gpuStatsQuery = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'] as const

const absent = new Set(['', 'N/A', '[N/A]', 'Not Supported', '[Not Supported]'])

/** By id; rows with fewer cells than asked for, or without an index, are skipped. */
export function parseGpuStats(csv: string): GpuStats[] {
  const rows = csv.split(/\r?\n/).map(parseCells)
  return rows.flatMap((cells) => toGpuStats(cells)).toSorted((one, other) => one.gpu_id - other.gpu_id)
}

function toGpuStats(cells: readonly string[]): GpuStats[] {
  const [index = '', uuid = '', name = '', utilization = '', total = '', used = '', free = ''] = cells
  const [, , , , , , , temperature = '', draw = '', limit = ''] = cells
  const id = wholeOf(index)
  if (cells.length < 10 || id === null) return []
  return [
    {
      gpu_id: id,
      uuid: uuid.trim() || null,
      name: name.trim() || 'unknown',
      utilization_percent: numberOf(utilization),
      memory_total_mib: wholeOf(total),
      memory_used_mib: wholeOf(used),
      memory_free_mib: wholeOf(free),
      temperature_c: wholeOf(temperature),
      power_draw_watts: numberOf(draw),
      power_limit_watts: numberOf(limit),
    },
  ]
}

/** A cell in quotes may hold commas; blanks after a comma do not count. */
function parseCells(line: string): string[] {
  if (line.trim() === '') return []
  return [...line.matchAll(/(?:^|,) *(?:"((?:[^"]|"")*)"[^,]*|([^,]*))/g)].map(
    ([, quoted, plain = '']) => quoted?.replaceAll('""', '"') ?? plain,
  )
}

function wholeOf(cell: string): number | null {
  const found = absent.has(cell.trim()) ? undefined : /-?\d+/.exec(cell)?.[0]
  return found === undefined ? null : Number(found)
}

function numberOf(cell: string): number | null {
  const found = absent.has(cell.trim()) ? undefined : /-?\d+(?:\.\d+)?/.exec(cell)?.[0]
  return found === undefined ? null : Number(found)
}
