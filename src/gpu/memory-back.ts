// After an engine is gone its GPU memory must be back before the next one starts (D2). Proved by what nvidia-smi counts.
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import type { Gpu, GpuProcesses } from './inventory.ts'
import { toGpuProblem } from './problems.ts'

export type MemoryBack =
  | { kind: 'back' }
  /** No nvidia-smi, or it does not answer: nothing can be proved, nobody should wait for it. */
  | { kind: 'unknown' }
  | { kind: 'held'; problem: Problem }

/** MiB that the driver itself may take on an idle GPU, beyond the least that was ever seen. */
const toleranceMiB = 512

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

/** GPUs that still hold memory. Pure. */
export function pickHeld(used: ReadonlyMap<number, number>, gpus: readonly number[], baselines: Baselines): number[] {
  return gpus.filter((index) => {
    const allowed = Math.min(baselines.of(index), highestBaselineMiB) + toleranceMiB
    return (used.get(index) ?? 0) > allowed
  })
}

export async function untilMemoryBack(deps: {
  gpus: readonly number[]
  baselines: Baselines
  /** MiB in use by index; undefined where nvidia-smi does not tell. */
  look: () => Promise<ReadonlyMap<number, number> | undefined>
  processes: () => Promise<GpuProcesses>
  clock: Clock
  abort: AbortSignal
}): Promise<MemoryBack> {
  const { gpus, baselines, look, clock, abort } = deps
  if (gpus.length === 0) return { kind: 'back' }
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    const used = await look()
    if (!used) return { kind: 'unknown' }
    const held = pickHeld(used, gpus, baselines)
    if (held.length === 0) return { kind: 'back' }
    if (abort.aborted) return { kind: 'held', problem: await describeHeld(held, used, deps.processes) }
    await clock.wait(wait, abort)
  }
}

async function describeHeld(
  held: readonly number[],
  used: ReadonlyMap<number, number>,
  processes: () => Promise<GpuProcesses>,
): Promise<Problem> {
  const found = await processes()
  const pids = found.kind === 'known' ? [...new Set(found.processes.map((one) => one.pid))] : []
  const amounts = held.map((index) => `GPU ${index}: ${used.get(index)} MiB`).join(', ')
  const who = pids.length > 0 ? `processes ${pids.join(', ')}` : 'no process is named'
  return toGpuProblem('gpu-memory-held', `${amounts} in use; ${who}`)
}
