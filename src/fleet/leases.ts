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
  /** GPUs whose lease ended, until a newer sample of their memory is seen: the one from before shows our own engine. */
  readonly #freed = new Map<number, { memoryKept: boolean; before?: Inventory }>()

  /** All or none; true also where this life holds them already. A foreign GPU can be taken: the caller asks `holder` first. */
  take(gpus: readonly number[], life: string): boolean {
    if (gpus.some((gpu) => (this.#held.get(gpu) ?? life) !== life)) return false
    for (const gpu of gpus) this.#held.set(gpu, life)
    return true
  }

  /** Only for a life that is proved gone. @param memoryKept its memory did not come back: nobody starts there before a look says so */
  release(life: string, memoryKept = false): void {
    for (const [gpu, holder] of this.#held) {
      if (holder !== life) continue
      this.#held.delete(gpu)
      this.#freed.set(gpu, { memoryKept })
    }
  }

  holder(gpu: number, inventory: Inventory): GpuHolder {
    const life = this.#held.get(gpu)
    if (life !== undefined) return { kind: 'leased', life }
    if (inventory.kind !== 'known') return { kind: 'free' }
    const freed = this.#freed.get(gpu)
    const isOld = freed !== undefined && (freed.before ??= inventory) === inventory
    if (isOld && !freed.memoryKept) return { kind: 'free' }
    if (!isOld) this.#freed.delete(gpu)
    const seen = inventory.gpus.find((one) => one.index === gpu)
    const usedMiB = seen?.memoryUsedMiB ?? 0
    const totalMiB = seen?.memoryTotalMiB ?? 0
    return isOld || usedMiB > Math.max(foreignFloorMiB, totalMiB * foreignShare)
      ? { kind: 'foreign', usedMiB, totalMiB }
      : { kind: 'free' }
  }

  get held(): ReadonlyMap<number, string> {
    return this.#held
  }
}
