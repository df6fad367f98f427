// Who holds which GPU: one table, one writer. A lease ends only when its life is proved gone. A launch reserves its GPUs before
// it has an engine, and keeps them until it has ended.
import type { Inventory } from '../gpu/inventory.ts'

export type GpuHolder =
  | { kind: 'free' }
  | { kind: 'leased'; life: string }
  /** Memory is held by a process that is not ours. */
  | { kind: 'foreign'; usedMiB: number; totalMiB: number; /** Where it is known (foreigners.ts). */ who?: string }

/** More than a driver keeps for itself, and more than the engine's default share leaves over. */
const foreignFloorMiB = 1024
const foreignShare = 0.08

export class Leases {
  readonly #held = new Map<number, string>()
  readonly #groups = new Map<string, string>()
  readonly #reserved = new Map<number, string>()
  /** GPUs whose lease ended, until a newer sample of their memory is seen: the one from before shows our own engine. */
  readonly #freed = new Map<number, { memoryKept: boolean; before?: Inventory }>()

  /**
   * All or none; true also where this life holds them already. A foreign GPU can be taken: the caller asks `holder` first.
   * @param group whose life it is; what another group has reserved is not given
   */
  take(gpus: readonly number[], life: string, group = life): boolean {
    const isFree = (gpu: number) =>
      (this.#held.get(gpu) ?? life) === life && (this.#reserved.get(gpu) ?? group) === group
    if (!gpus.every(isFree)) return false
    for (const gpu of gpus) this.#held.set(gpu, life)
    this.#groups.set(life, group)
    return true
  }

  /** Could `take` give them to a life of this group that does not exist yet? */
  isFree(gpus: readonly number[], group: string): boolean {
    return gpus.every((gpu) => !this.#held.has(gpu) && (this.#reserved.get(gpu) ?? group) === group)
  }

  /** All or none, at once; true also where this group has them already. Engines of other groups that live stand against it. */
  reserve(gpus: readonly number[], group: string): boolean {
    if (gpus.some((gpu) => (this.owner(gpu) ?? group) !== group)) return false
    for (const gpu of gpus) this.#reserved.set(gpu, group)
    return true
  }

  /** What its engines hold stays held until they are gone. */
  unreserve(group: string): void {
    for (const [gpu, owner] of this.#reserved) if (owner === group) this.#reserved.delete(gpu)
  }

  /** The group that has this GPU, with or without an engine. */
  owner(gpu: number): string | undefined {
    const life = this.#held.get(gpu)
    return life === undefined ? this.#reserved.get(gpu) : this.#groups.get(life)
  }

  get reserved(): ReadonlyMap<number, string> {
    return this.#reserved
  }

  /** Only for a life that is proved gone. @param memoryKept its memory did not come back: nobody starts there before a look says so */
  release(life: string, memoryKept = false): void {
    for (const [gpu, holder] of this.#held) {
      if (holder !== life) continue
      this.#held.delete(gpu)
      this.#freed.set(gpu, { memoryKept })
    }
    this.#groups.delete(life)
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
}
