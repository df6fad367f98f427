// nvidia-smi's csv answers as values. Pure. Numbers are read tolerantly: [N/A], ERR!, [Unknown Error] are simply absent.
import type { Gpu, GpuProcess, MigDevice } from './inventory.ts'
import { judgeGpu } from './health.ts'
import type { GpuUse, MemoryLook } from './memory-back.ts'

/** A field and its older names; the first that the driver knows is asked. */
const wantedFields: readonly (readonly string[])[] = [
  ['index'],
  ['uuid'],
  ['pci.bus_id'],
  ['name'],
  ['driver_version'],
  ['memory.total'],
  ['memory.used'],
  ['memory.free'],
  ['utilization.gpu'],
  ['temperature.gpu'],
  ['mig.mode.current'],
  ['compute_cap'],
  ['ecc.errors.uncorrected.volatile.total'],
  ['remapped_rows.pending'],
  ['remapped_rows.failure'],
  ['retired_pages.pending'],
  ['gpu_recovery_action'],
  ['clocks_event_reasons.hw_slowdown', 'clocks_throttle_reasons.hw_slowdown'],
  ['clocks_event_reasons.hw_thermal_slowdown', 'clocks_throttle_reasons.hw_thermal_slowdown'],
]

export const allFields: readonly string[] = wantedFields.map((names) => names[0] as string)

/** The unknown field that an exit with code 2 complains about. */
export function parseUnknownField(text: string): string | undefined {
  return /Field "([^"]+)" is not a valid field to query/.exec(text)?.[1]
}

/** The list without what this driver does not know: replaced by the older name, or dropped. */
export function dropField(fields: readonly string[], unknown: string): string[] {
  const names = wantedFields.find((all) => all.includes(unknown)) ?? [unknown]
  const older = names[names.indexOf(unknown) + 1]
  return fields.flatMap((field) => (field !== unknown ? [field] : older ? [older] : []))
}

/** One row, by the newest name of each field. */
export type Row = ReadonlyMap<string, string>

export function parseRows(fields: readonly string[], csv: string): Row[] {
  return csv
    .split('\n')
    .map((line) => line.split(', ').map((cell) => cell.trim()))
    .filter((cells) => cells.length === fields.length)
    .map((cells) => new Map(fields.map((field, at) => [newestName(field), cells[at] ?? ''] as const)))
}

/** Undefined for a row without an index or a UUID: nothing can be assigned to it. */
export function toGpu(row: Row, migDevices: readonly MigDevice[]): Gpu | undefined {
  const index = numberOf(row.get('index'))
  const uuid = textOf(row.get('uuid'))
  if (index === undefined || uuid === undefined) return undefined
  const problem = judgeGpu(`GPU ${index}`, row)
  const mig = row.get('mig.mode.current') === 'Enabled'
  return {
    index,
    uuid,
    name: textOf(row.get('name')) ?? 'unknown',
    mig,
    ...(mig && { migDevices }),
    ...(problem && { problem }),
    ...present({
      busId: textOf(row.get('pci.bus_id')),
      memoryTotalMiB: numberOf(row.get('memory.total')),
      memoryUsedMiB: numberOf(row.get('memory.used')),
      memoryFreeMiB: numberOf(row.get('memory.free')),
      utilizationPercent: numberOf(row.get('utilization.gpu')),
      temperatureC: numberOf(row.get('temperature.gpu')),
      computeCapability: textOf(row.get('compute_cap')),
    }),
  }
}

/**
 * Rows of `index,uuid,memory.used`. A cell of a wanted GPU that is an error of the driver ([Unknown Error], [GPU requires reset]) is no
 * look; what is wrong with any other GPU does not matter.
 */
export function parseMemory(csv: string, wanted: readonly number[]): MemoryLook {
  const gpus = new Map<number, GpuUse>()
  let wrong: string | undefined
  for (const line of csv.split('\n').filter((one) => one.trim() !== '')) {
    const [, index, uuid, used = ''] = /^(\d+), (\S+), (.+)$/.exec(line.trim()) ?? []
    if (index !== undefined && !wanted.includes(Number(index))) continue
    const usedMiB = numberOf(used)
    if (index !== undefined && uuid !== undefined && (usedMiB !== undefined || isUncounted(used)))
      gpus.set(Number(index), { uuid, usedMiB })
    else wrong ??= line
  }
  if (wrong !== undefined && wanted.some((index) => !gpus.has(index)))
    return { kind: 'failed', why: `memory in use: ${wrong.slice(0, 200)}` }
  return { kind: 'known', gpus }
}

/** Unified memory, or MIG seen by a user who is not root. */
const isUncounted = (cell: string) => /^\[?(N\/A|Not Supported|Insufficient Permissions)\]?$/i.test(cell)

export function parseProcesses(csv: string): GpuProcess[] {
  return csv.split('\n').flatMap((line) => {
    const [pid, uuid, used] = line.split(',').map((cell) => cell.trim())
    const number = numberOf(pid)
    if (number === undefined || !uuid) return []
    return [{ pid: number, gpuUuid: uuid, ...present({ usedMiB: numberOf(used) }) }]
  })
}

/** `nvidia-smi -L`: MIG instances by the UUID of their GPU. */
export function parseMigDevices(listing: string): Map<string, MigDevice[]> {
  const found = new Map<string, MigDevice[]>()
  let gpu = ''
  for (const line of listing.split('\n')) {
    gpu = /^GPU \d+: .*\(UUID: (GPU-[^)]+)\)/.exec(line)?.[1] ?? gpu
    const mig = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)/.exec(line)
    if (mig) found.set(gpu, [...(found.get(gpu) ?? []), { profile: mig[1] ?? '', uuid: mig[2] ?? '' }])
  }
  return found
}

/** Of `nvidia-smi --version`, or of the banner that older drivers print without arguments. */
export function parseVersions(text: string): { cudaVersion?: string; nvmlVersion?: string } {
  return present({
    cudaVersion: /CUDA Version\s*:\s*([\d.]+)/i.exec(text)?.[1],
    nvmlVersion: /NVML version\s*:\s*([\d.]+)/i.exec(text)?.[1],
  })
}

export function numberOf(cell: string | undefined): number | undefined {
  return cell !== undefined && /^-?\d+(\.\d+)?$/.test(cell) ? Number(cell) : undefined
}

export function textOf(cell: string | undefined): string | undefined {
  return cell === undefined || cell === '' || /^\[.*\]$|^(N\/A|ERR!)$/i.test(cell) ? undefined : cell
}

function newestName(field: string): string {
  return wantedFields.find((names) => names.includes(field))?.[0] ?? field
}

function present<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}
