// GPU memory as files: one per holder in $REHEARSAL_GPU_STATE, read by the rehearsal nvidia-smi. Memory stays taken while
// the holder lives, and `lingerMs` longer (facts/vllm.md 2.5).
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type GpuUse = { pid: number; gpus: number[]; memoryMiB: number; lingerMs: number; deadSince?: number }

/** @param use.memoryMiB per GPU */
export function writeGpuUse(folder: string, use: Omit<GpuUse, 'deadSince'>): void {
  writeFileSync(join(folder, `${use.pid}.json`), JSON.stringify(use))
}

/** What holds memory now. Forgets holders that are dead for longer than they linger. */
export function readGpuUses(folder: string, now = Date.now()): GpuUse[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    const use = readUse(path)
    if (!use) return []
    if (isAlive(use.pid)) return [use]
    const deadSince = use.deadSince ?? now
    if (now - deadSince >= use.lingerMs) {
      rmSync(path, { force: true })
      return []
    }
    if (use.deadSince === undefined) writeFileSync(path, JSON.stringify({ ...use, deadSince }))
    return [{ ...use, deadSince }]
  })
}

function readUse(path: string): GpuUse | undefined {
  if (!path.endsWith('.json')) return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as GpuUse
  } catch {
    return undefined
  }
}

/** A zombie holds nothing. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
