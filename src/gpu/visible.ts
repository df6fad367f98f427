// CUDA_VISIBLE_DEVICES of the configuration: which of the machine's GPUs are ours to use. Pure.
import type { Gpu } from './inventory.ts'

/**
 * Indices, full UUIDs or unique beginnings of UUIDs, in the order given; all GPUs where not set. `-1` and `none` hide all. MIG UUIDs
 * select their GPU. As CUDA does, the list ends at the first entry that is not here, but we name it in `unknown`.
 */
export function pickVisible(gpus: readonly Gpu[], visible: string | undefined): { gpus: Gpu[]; unknown?: string } {
  if (visible === undefined || visible.trim() === '' || visible.trim() === 'all') return { gpus: [...gpus] }
  const picked: Gpu[] = []
  for (const entry of visible.split(',').map((one) => one.trim())) {
    if (/^(-\d+|none|void|NoDevFiles)$/i.test(entry)) return { gpus: picked }
    const found = gpus.find((gpu) => isNamed(gpu, entry))
    if (!found) return { gpus: picked, unknown: entry }
    if (!picked.includes(found)) picked.push(found)
  }
  return { gpus: picked }
}

function isNamed(gpu: Gpu, entry: string): boolean {
  if (/^\d+$/.test(entry)) return gpu.index === Number(entry)
  if (entry.startsWith('MIG-')) return gpu.migDevices?.some((one) => one.uuid === entry) ?? false
  return entry.startsWith('GPU-') && entry.length > 4 && gpu.uuid.startsWith(entry)
}
