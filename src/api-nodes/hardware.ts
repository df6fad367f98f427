// GPUs as API nodes write them (contracts/api-nodes.md 3.3): `NVIDIA H100 80GB HBM3 | 79GB`, counted by type. Pure.
import type { Gpu, Inventory } from '../gpu/inventory.ts'

export type Hardware = { type: string; count: number }

/** Undefined where there is nothing true to say: no GPU known and none configured. */
export function toHardware(
  inventory: Inventory,
  config: { gpuType: string | undefined; numGpus: number | undefined },
): Hardware[] | undefined {
  const gpus = inventory.kind === 'known' ? inventory.gpus : []
  const { gpuType, numGpus } = config
  if (gpuType || numGpus) {
    const count = numGpus ?? gpus.length
    const type = gpuType
      ? toType(gpuType, gpus[0]?.memoryTotalMiB)
      : gpus[0] && toType(gpus[0].name, gpus[0].memoryTotalMiB)
    return type && count > 0 ? [{ type, count }] : undefined
  }
  const counts = new Map<string, number>()
  for (const gpu of gpus) counts.set(typeOf(gpu), (counts.get(typeOf(gpu)) ?? 0) + 1)
  return counts.size > 0 ? [...counts].map(([type, count]) => ({ type, count })) : undefined
}

function typeOf(gpu: Gpu): string {
  return toType(gpu.name, gpu.memoryTotalMiB)
}

function toType(name: string, memoryMiB: number | undefined): string {
  return name.includes('|') || memoryMiB === undefined ? name : `${name} | ${Math.floor(memoryMiB / 1024)}GB`
}
