#!/usr/bin/env node
// An nvidia-smi with knobs (facts/nvidia-smi.md): the GPUs are made up, their memory use is what $REHEARSAL_GPU_STATE holds.
// Knobs: REHEARSAL_SMI_{GPUS,NAME,MEMORY_MIB,DRIVER,CUDA,HANG,EXIT,NO_FIELDS,MIG,CELLS,LOST,UNREACHABLE,OLD,COMPUTE_CAP}, read in readSmiKnobs.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type GpuUse, readGpuUses } from './engine-gpu.ts'

export type SmiKnobs = {
  gpus: number
  name: string
  memoryMiB: number
  driver: string
  cuda: string
  computeCapability: string
  /** Never answers, and ignores SIGTERM as a process in the kernel would. */
  hang: boolean
  /** Ends with this code and a text that fits. */
  exit: number
  /** Fields that this driver does not know. */
  noFields: readonly string[]
  /** GPU indices with MIG on: utilization is [N/A], two instances are listed. */
  mig: readonly number[]
  /** `1:temperature.gpu=[N/A]`: the cell of one GPU, or of all with `*`. */
  cells: readonly { gpu: string; field: string; value: string }[]
  /** GPU indices that have fallen off. */
  lost: readonly number[]
  /** GPU indices that the driver cannot reach: who asks for them, or for all, gets exit 15. */
  unreachable: readonly number[]
  /** A driver without --version. */
  old: boolean
  gpuState: string | undefined
}

/** Knobs come from the environment, and over it from the file `knobs` in the state folder, so that a test can turn them at run time. */
export function readSmiKnobs(env: Readonly<Record<string, string | undefined>>): SmiKnobs {
  const folder = env['REHEARSAL_GPU_STATE']
  const live = folder === undefined ? {} : readLive(join(folder, 'knobs'))
  const knob = (name: string) => live[name] ?? env[`REHEARSAL_SMI_${name}`]
  const list = (name: string) => (knob(name) ?? '').split(';').filter((one) => one !== '')
  return {
    gpus: Number(knob('GPUS') ?? 1),
    name: knob('NAME') ?? 'NVIDIA H100 80GB HBM3',
    memoryMiB: Number(knob('MEMORY_MIB') ?? 81_559),
    driver: knob('DRIVER') ?? '570.133.20',
    cuda: knob('CUDA') ?? '12.8',
    computeCapability: knob('COMPUTE_CAP') ?? '9.0',
    hang: knob('HANG') === '1',
    exit: Number(knob('EXIT') ?? 0),
    noFields: list('NO_FIELDS'),
    mig: list('MIG').map(Number),
    cells: list('CELLS').map(parseCell),
    lost: list('LOST').map(Number),
    unreachable: list('UNREACHABLE').map(Number),
    old: knob('OLD') === '1',
    gpuState: folder,
  }
}

/** @returns exit code and what is printed, as the real program would */
export function answerSmi(args: readonly string[], knobs: SmiKnobs): { code: number; out: string } {
  if (knobs.exit !== 0) return { code: knobs.exit, out: exitTexts[knobs.exit] ?? 'Unknown Error' }
  const option = (name: string) => args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1)
  const uses = knobs.gpuState ? readGpuUses(knobs.gpuState) : []
  const query = option('--query-gpu')
  const asked = option('--id')?.split(',').map(Number)
  if (knobs.unreachable.some((gpu) => asked?.includes(gpu) ?? query !== undefined))
    return { code: 15, out: exitTexts[15] ?? '' }
  if (query !== undefined) return printTable(query.split(','), knobs, { uses, asked })
  const processes = option('--query-compute-apps')
  if (processes !== undefined) return { code: 0, out: printProcesses(processes.split(','), uses) }
  if (args[0] === '-L') return { code: 0, out: printListing(knobs) }
  if (args[0] === '--version') return knobs.old ? { code: 2, out: 'Invalid option: "--version"' } : printVersion(knobs)
  if (args.length > 0)
    return { code: 2, out: `Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.` }
  return {
    code: 0,
    out: `| NVIDIA-SMI ${knobs.driver}   Driver Version: ${knobs.driver}   CUDA Version: ${knobs.cuda} |`,
  }
}

export function rehearsalUuid(index: number): string {
  return `GPU-00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
}

const exitTexts: Record<number, string> = {
  4: 'NVIDIA-SMI has failed because you have insufficient permissions.',
  6: 'No devices were found',
  9: "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.",
  12: "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.",
  15: 'Unable to determine the device handle for GPU 0000:00:1E.0: GPU is lost.  Reboot the system to recover this GPU',
  18: 'Failed to initialize NVML: Driver/library version mismatch',
}

function printTable(
  fields: readonly string[],
  knobs: SmiKnobs,
  { uses, asked }: { uses: readonly GpuUse[]; asked: readonly number[] | undefined },
): { code: number; out: string } {
  const unknown = fields.find((field) => knobs.noFields.includes(field) || !(field in cellsOf(0, knobs, uses)))
  if (unknown !== undefined) return { code: 2, out: `Field "${unknown}" is not a valid field to query.\n` }
  const gpus = presentGpus(knobs).filter((gpu) => asked?.includes(gpu) ?? true)
  const rows = gpus.map((gpu) => fields.map((field) => printCell(gpu, field, knobs, uses)).join(', '))
  return { code: 0, out: rows.join('\n') }
}

function printCell(gpu: number, field: string, knobs: SmiKnobs, uses: readonly GpuUse[]): string {
  const told = knobs.cells.find((one) => (one.gpu === '*' || Number(one.gpu) === gpu) && one.field === field)
  return told?.value ?? cellsOf(gpu, knobs, uses)[field] ?? '[N/A]'
}

function cellsOf(gpu: number, knobs: SmiKnobs, uses: readonly GpuUse[]): Record<string, string> {
  const mine = uses.filter((use) => use.gpus.includes(gpu))
  const used = Math.min(
    knobs.memoryMiB,
    mine.reduce((sum, use) => sum + use.memoryMiB, 4),
  )
  const mig = knobs.mig.includes(gpu)
  return {
    index: String(gpu),
    uuid: rehearsalUuid(gpu),
    'pci.bus_id': `00000000:${(0x1a + gpu).toString(16).toUpperCase()}:00.0`,
    name: knobs.name,
    driver_version: knobs.driver,
    'memory.total': String(knobs.memoryMiB),
    'memory.used': String(used),
    'memory.free': String(knobs.memoryMiB - used),
    'utilization.gpu': mig ? '[N/A]' : mine.length > 0 ? '97' : '0',
    'temperature.gpu': mine.length > 0 ? '61' : '33',
    'power.draw': mine.length > 0 ? '603.12' : '71.50',
    'power.limit': '700.00',
    'mig.mode.current': mig ? 'Enabled' : 'Disabled',
    compute_cap: knobs.computeCapability,
    'ecc.errors.uncorrected.volatile.total': '0',
    'remapped_rows.pending': 'No',
    'remapped_rows.failure': 'No',
    'retired_pages.pending': '[N/A]',
    gpu_recovery_action: 'None',
    'clocks_event_reasons.hw_slowdown': 'Not Active',
    'clocks_throttle_reasons.hw_slowdown': 'Not Active',
    'clocks_event_reasons.hw_thermal_slowdown': 'Not Active',
    'clocks_throttle_reasons.hw_thermal_slowdown': 'Not Active',
  }
}

function printProcesses(fields: readonly string[], uses: readonly GpuUse[]): string {
  const rows = uses.flatMap((use) =>
    use.gpus.map((gpu) => ({
      pid: String(use.pid),
      process_name: 'python',
      gpu_uuid: rehearsalUuid(gpu),
      used_memory: String(use.memoryMiB),
    })),
  )
  return rows.map((row) => fields.map((field) => row[field as keyof typeof row] ?? '[N/A]').join(', ')).join('\n')
}

function printListing(knobs: SmiKnobs): string {
  return presentGpus(knobs)
    .flatMap((gpu) => [
      `GPU ${gpu}: ${knobs.name} (UUID: ${rehearsalUuid(gpu)})`,
      ...(knobs.mig.includes(gpu) ? [0, 1] : []).map(
        (at) => `  MIG 3g.40gb     Device  ${at}: (UUID: MIG-${gpu}${at}000000-0000-5000-8000-000000000000)`,
      ),
    ])
    .join('\n')
}

function printVersion({ driver, cuda }: SmiKnobs): { code: number; out: string } {
  const nvml = driver.split('.').slice(0, 2).join('.')
  const lines = [
    `NVIDIA-SMI version  : ${driver}`,
    `NVML version        : ${nvml}`,
    `DRIVER version      : ${driver}`,
    `CUDA Version        : ${cuda}`,
  ]
  return { code: 0, out: lines.join('\n') }
}

function presentGpus({ gpus, lost }: SmiKnobs): number[] {
  return Array.from({ length: gpus }, (_, at) => at).filter((at) => !lost.includes(at))
}

function parseCell(text: string): { gpu: string; field: string; value: string } {
  const found = /^(\d+|\*):([^=]+)=(.*)$/.exec(text)
  return { gpu: found?.[1] ?? '*', field: found?.[2] ?? '', value: found?.[3] ?? '' }
}

/** `NAME=value` lines. */
function readLive(path: string): Record<string, string> {
  try {
    const lines = readFileSync(path, 'utf8').split('\n')
    return Object.fromEntries(
      lines.flatMap((line) => (/^(\w+)=(.*)$/.test(line) ? [line.split(/=(.*)/s).slice(0, 2)] : [])),
    )
  } catch {
    return {}
  }
}

if (import.meta.main) {
  const knobs = readSmiKnobs(process.env)
  if (knobs.hang) {
    process.on('SIGTERM', () => {})
    setInterval(() => {}, 60_000)
  } else {
    const { code, out } = answerSmi(process.argv.slice(2), knobs)
    if (out !== '') process.stdout.write(`${out}\n`)
    process.exitCode = code
  }
}
