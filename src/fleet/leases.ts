// Who holds which GPU: one table, one writer. A lease ends only when its life is proved gone.
import type { Inventory } from '../gpu/inventory.ts'

export type GpuHolder =
  | { kind: 'free' }
  | { kind: 'leased'; life: string }
  /** Memory is held by a process that is not ours. */
  | { kind: 'foreign'; usedMiB: number; totalMiB: number }

/** More than a driver keeps for itself, and more than the engine's default share leaves over. */
const foreignFloorMiB = 1024
const foreignShare = 0.08

export class Leases {
  readonly #held = new Map<number, string>()
  /** When a GPU's lease ended: an older sample of its memory still shows our own engine. Wall ms. */
  readonly #freedAt = new Map<number, number>()

  /** All or none; true also where this life holds them already. A foreign GPU can be taken: the caller asks `holder` first. */
  take(gpus: readonly number[], life: string): boolean {
    if (gpus.some((gpu) => (this.#held.get(gpu) ?? life) !== life)) return false
    for (const gpu of gpus) this.#held.set(gpu, life)
    return true
  }

  /** Only for a life that is proved gone. @param wall ms since 1970, now */
  release(life: string, wall: number): void {
    for (const [gpu, holder] of this.#held) {
      if (holder !== life) continue
      this.#held.delete(gpu)
      this.#freedAt.set(gpu, wall)
    }
  }

  holder(gpu: number, inventory: Inventory): GpuHolder {
    const life = this.#held.get(gpu)
    if (life !== undefined) return { kind: 'leased', life }
    if (inventory.kind !== 'known' || inventory.at.getTime() <= (this.#freedAt.get(gpu) ?? 0)) return { kind: 'free' }
    const seen = inventory.gpus.find((one) => one.index === gpu)
    const usedMiB = seen?.memoryUsedMiB ?? 0
    const totalMiB = seen?.memoryTotalMiB ?? 0
    return usedMiB > Math.max(foreignFloorMiB, totalMiB * foreignShare)
      ? { kind: 'foreign', usedMiB, totalMiB }
      : { kind: 'free' }
  }

  get held(): ReadonlyMap<number, string> {
    return this.#held
  }
}
