// After an engine is gone its GPU memory must be back before its lease ends (D2). Proved by what nvidia-smi counts: a look that
// fails proves nothing and is repeated; what it attributes to a living process, which is none of ours then, is not waited for.
import { type BackoffPolicy, judgeBackoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { Gpu, GpuProcesses } from './inventory.ts'

export type MemoryBack =
  /** `others`: what is still in use is that of processes which are not ours. */
  | { kind: 'back'; others: boolean }
  /** No nvidia-smi, or no device: there is nothing to wait for. */
  | { kind: 'none' }
  /** Only where the caller gave up. */
  | { kind: 'held'; evidence: string }

/** What nvidia-smi says of the memory in use, by index. */
export type MemoryLook =
  | { kind: 'none' }
  | { kind: 'failed'; why: string }
  | { kind: 'known'; gpus: ReadonlyMap<number, GpuUse> }

/** usedMiB: undefined where this driver does not count it (unified memory): nothing to wait for. */
export type GpuUse = { uuid: string; usedMiB: number | undefined }

/** MiB that the driver itself may take on an idle GPU, beyond the least that was ever seen. */
const toleranceMiB = 512

/** Memory comes back 1-5 s after the process; each wait is at most half of the time before. */
const pace: BackoffPolicy = { first: 100, factor: 1.5, cap: 15_000, jitter: 0.2, stable: Infinity }

/** The least memory seen in use per GPU: what others (the driver, a display, a foreign process) hold anyway. */
export interface Baselines {
  see(gpus: readonly Pick<Gpu, 'index' | 'memoryUsedMiB'>[]): void
  of(index: number): number
}

export function createBaselines(): Baselines {
  const least = new Map<number, number>()
  return {
    see(gpus) {
      for (const { index, memoryUsedMiB } of gpus) {
        if (memoryUsedMiB === undefined) continue
        least.set(index, Math.min(memoryUsedMiB, least.get(index) ?? Infinity))
      }
    },
    of: (index) => least.get(index) ?? 0,
  }
}

/** An adopted engine was there before our first look, so a baseline above this (MiB) is not believed. */
const highestBaselineMiB = 2048

/**
 * GPUs that still hold memory which is nobody else's. A GPU that is not listed has none. Pure.
 * @param others MiB by UUID that processes which are not ours hold
 */
export function pickHeld(
  seen: ReadonlyMap<number, GpuUse>,
  gpus: readonly number[],
  baselines: Pick<Baselines, 'of'>,
  others: ReadonlyMap<string, number> = new Map(),
): number[] {
  return gpus.filter((index) => {
    const { uuid = '', usedMiB = 0 } = seen.get(index) ?? {}
    const allowed = Math.min(baselines.of(index), highestBaselineMiB) + toleranceMiB
    return usedMiB - (others.get(uuid) ?? 0) > allowed
  })
}

export type MemoryDeps = {
  gpus: readonly number[]
  baselines: Baselines
  look: () => Promise<MemoryLook>
  processes: () => Promise<GpuProcesses>
  /** Of a pid that nvidia-smi names. The engine's own are all dead by now. */
  isAlive: (pid: number) => boolean
  clock: Clock
  abort: AbortSignal
  /** Told after each look that does not prove it. */
  onHeld?: ((evidence: string) => void) | undefined
}

export async function untilMemoryBack(deps: MemoryDeps): Promise<MemoryBack> {
  const { gpus, clock, abort, onHeld } = deps
  if (gpus.length === 0) return { kind: 'none' }
  for (let looks = 1; ; looks += 1) {
    const found = await lookOnce(deps)
    if (found.kind !== 'held') return found
    onHeld?.(found.evidence)
    if (!abort.aborted) await clock.wait(judgeBackoff(pace, looks, Math.random()), abort)
    if (abort.aborted) return found
  }
}

async function lookOnce({ gpus, baselines, look, processes, isAlive }: MemoryDeps): Promise<MemoryBack> {
  const seen = await look()
  if (seen.kind === 'none') return seen
  if (seen.kind === 'failed') return { kind: 'held', evidence: `nvidia-smi does not tell: ${seen.why}` }
  const inUse = pickHeld(seen.gpus, gpus, baselines)
  if (inUse.length === 0) return { kind: 'back', others: false }
  const named = await processes()
  const held = pickHeld(seen.gpus, gpus, baselines, sumOthers(named, isAlive))
  if (held.length === 0) return { kind: 'back', others: true }
  return { kind: 'held', evidence: describeHeld(held, seen.gpus, named) }
}

/** A process whose memory is not counted may have all of it. */
function sumOthers(found: GpuProcesses, isAlive: MemoryDeps['isAlive']): ReadonlyMap<string, number> {
  const sums = new Map<string, number>()
  if (found.kind !== 'known') return sums
  for (const { pid, gpuUuid, usedMiB = Infinity } of found.processes)
    if (isAlive(pid)) sums.set(gpuUuid, (sums.get(gpuUuid) ?? 0) + usedMiB)
  return sums
}

function describeHeld(held: readonly number[], seen: ReadonlyMap<number, GpuUse>, found: GpuProcesses): string {
  const uuids = new Set(held.map((index) => seen.get(index)?.uuid))
  const its = found.kind === 'known' ? found.processes.filter(({ gpuUuid }) => uuids.has(gpuUuid)) : []
  const pids = [...new Set(its.map(({ pid }) => pid))]
  const amounts = held.map((index) => `GPU ${index}: ${seen.get(index)?.usedMiB} MiB`).join(', ')
  const who = pids.length > 0 ? `nvidia-smi names pid ${pids.join(', ')}` : 'nvidia-smi names no process'
  return `${amounts} in use; ${who}`
}
