// `GET /stats` (contracts/control-plane.md A1.7): load, memory and GPUs now. Never fails for lack of a GPU, and never asks
// nvidia-smi twice at a time: those who ask together get one answer.
import { readFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import type { SystemStats } from '../api/stats.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type Outcome, runProgram } from '../core/run-program.ts'
import { type GpuStats, gpuStatsQuery, parseGpuStats } from './gpu-stats.ts'

export interface Stats {
  /** Never rejects. */
  read(): Promise<SystemStats>
}

export type StatsOptions = { nvidiaSmi: string; clock?: Clock; meminfo?: string; /** ms */ timeout?: number }

/** ms; polls of several watchers cost one run of nvidia-smi, which takes up to seconds. */
const fresh = 900

export function createStats(options: StatsOptions): Stats {
  const { nvidiaSmi, clock = systemClock, meminfo = '/proc/meminfo', timeout = 10_000 } = options
  const gpus = createGpuQuestion(nvidiaSmi, timeout)
  const state: { running?: Promise<SystemStats> | undefined; at: number; cpuCount?: number } = { at: -Infinity }
  const collect = async (): Promise<SystemStats> => {
    const [memory, found] = await Promise.all([readMemory(meminfo), gpus.ask()])
    const [one = null, five = null, fifteen = null] = loadavg()
    state.cpuCount ??= cpus().length
    return {
      collected_at: toMicroseconds(new Date(clock.wall())),
      load_avg_1m: one,
      load_avg_5m: five,
      load_avg_15m: fifteen,
      cpu_count: state.cpuCount,
      ...memory,
      gpu_count: found.gpus.length,
      gpus: [...found.gpus],
      nvidia_smi_error: found.error,
    }
  }
  return {
    read() {
      if (state.running && clock.now() - state.at < fresh) return state.running
      const reading = collect()
      state.running = reading
      state.at = Infinity
      // Fresh for a while from when it is there.
      void reading.then(() => (state.at = clock.now()))
      return reading
    },
  }
}

type GpuAnswer = { gpus: readonly GpuStats[]; error: string | null }

function createGpuQuestion(program: string, timeout: number) {
  const state: { stuck: number | undefined } = { stuck: undefined }
  return {
    async ask(): Promise<GpuAnswer> {
      const failed = (why: string) => ({ gpus: [], error: `Failed to query GPU stats from nvidia-smi: ${why}` })
      // One that hangs in the kernel cannot be killed: no second one is started beside it.
      if (state.stuck !== undefined) return failed(`pid ${state.stuck} of it was killed and does not end`)
      const outcome = await runProgram(program, gpuStatsQuery, { timeout })
      if (outcome.kind !== 'timed-out') return toGpuAnswer(outcome, failed)
      state.stuck = outcome.pid
      void outcome.gone.then(() => (state.stuck = undefined))
      return failed(`no answer within ${timeout} ms`)
    },
  }
}

function toGpuAnswer(outcome: Exclude<Outcome, { kind: 'timed-out' }>, failed: (why: string) => GpuAnswer): GpuAnswer {
  if (outcome.kind === 'not-started')
    return outcome.code === 'ENOENT'
      ? { gpus: [], error: 'nvidia-smi is unavailable on this host.' }
      : failed(outcome.why)
  if (outcome.kind === 'aborted') return failed('the question was cancelled')
  const text = `${outcome.stdout}${outcome.stderr}`.trim()
  if (outcome.code !== 0) return failed(text.slice(0, 2000) || `exit ${outcome.code}`)
  const gpus = parseGpuStats(outcome.stdout)
  const isGarbage = gpus.length === 0 && text !== ''
  return { gpus, error: isGarbage ? 'Could not parse GPU stats from nvidia-smi output.' : null }
}

type Memory = Pick<
  SystemStats,
  | 'memory_total_bytes'
  | 'memory_available_bytes'
  | 'memory_used_bytes'
  | 'memory_utilization_percent'
  | 'host_memory_error'
>

async function readMemory(path: string): Promise<Memory> {
  const read = await readFile(path, 'utf8').then(parseMeminfo, (error: unknown) => messageOf(error))
  if (typeof read !== 'string') {
    const used = Math.max(read.total - read.available, 0)
    return {
      memory_total_bytes: read.total,
      memory_available_bytes: read.available,
      memory_used_bytes: used,
      memory_utilization_percent: read.total > 0 ? (used / read.total) * 100 : null,
      host_memory_error: null,
    }
  }
  return {
    memory_total_bytes: null,
    memory_available_bytes: null,
    memory_used_bytes: null,
    memory_utilization_percent: null,
    host_memory_error: `Failed to parse /proc/meminfo: ${read}`,
  }
}

/** Bytes, or what is wrong. Pure. */
export function parseMeminfo(text: string): { total: number; available: number } | string {
  const found = new Map([...text.matchAll(/^(\w+):\s+(\d+)/gm)].map(([, name = '', kib]) => [name, Number(kib) * 1024]))
  const total = found.get('MemTotal')
  const available = found.get('MemAvailable') ?? found.get('MemFree')
  if (total === undefined || available === undefined) return 'MemTotal or MemAvailable is missing'
  return { total, available }
}

/** As the old service writes times: RFC 3339, UTC, microseconds. Pure. */
export const toMicroseconds = (at: Date) => at.toISOString().replace('Z', '000Z')
