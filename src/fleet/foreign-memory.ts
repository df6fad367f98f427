// GPU memory that other programs hold while somebody waits for it: looked at often, named, and by launches not waited for without
// limit. One that may wait goes back to the queue, where it may get other GPUs; any other one fails.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import type { Inventory } from '../gpu/inventory.ts'
import type { Step } from './decide.ts'
import type { Foreigners } from './foreigners.ts'
import { toLaunchId } from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'
import type { GpuHolder, Leases } from './leases.ts'
import { fleetProblem } from './problems.ts'

export type ForeignMemoryDeps = {
  foreigners: Foreigners
  leases: Leases
  inventory: ReadonlySignal<Inventory>
  records: Pick<LaunchRecords, 'all' | 'get'>
  /** How long a launch waits for it, ms. */
  patience: number
  clock: Clock
  /** Back to the queue, without its GPUs. */
  giveBack: (launch: string) => void
  fail: (launch: string, problem: Problem) => void
}

/** The usual question comes every 30 s, too slow for who waits; ms. */
const lookEvery = 3000

export class ForeignMemory {
  readonly #deps: ForeignMemoryDeps
  /** Launches that wait for it; monotonic ms. */
  readonly #since = new Map<string, number>()
  readonly #looks = signal(0)
  #looking: { at: number; isOver: boolean } = { at: -lookEvery, isOver: true }

  constructor(deps: ForeignMemoryDeps) {
    this.#deps = deps
  }

  /** Grows with each look: the loop wakes with it, and tells the names. */
  get looks(): ReadonlySignal<number> {
    return this.#looks
  }

  /** As the leases tell it, with the name of who is not of ours. */
  holder(gpu: number): GpuHolder {
    const { leases, inventory, foreigners } = this.#deps
    const holder = leases.holder(gpu, inventory.peek())
    const who = holder.kind === 'foreign' ? foreigners.who(gpu) : undefined
    return holder.kind === 'foreign' && who !== undefined ? { ...holder, who } : holder
  }

  /** After each pass: what it could not start. */
  follow(steps: readonly Step[]): void {
    const waits = steps.flatMap((step) =>
      step.do === 'wait' && step.problem?.code === 'gpu-memory-taken'
        ? [{ id: toLaunchId(step.group), evidence: step.problem.evidence }]
        : [],
    )
    if (waits.length > 0 || this.holdsUpQueue()) this.#look()
    for (const id of this.#since.keys()) if (!waits.some((one) => one.id === id)) this.#since.delete(id)
    for (const { id, evidence } of waits) if (id !== undefined) this.#judge(id, evidence)
  }

  #judge(id: string, evidence: string): void {
    const { records, clock, patience, giveBack, fail } = this.#deps
    if (records.get(id)?.request.queue) return giveBack(id)
    const since = this.#since.get(id) ?? clock.now()
    this.#since.set(id, since)
    if (clock.now() - since < patience) return
    this.#since.delete(id)
    fail(id, fleetProblem('launch-memory-taken', `${evidence}, for ${Math.round((clock.now() - since) / 1000)} s`))
  }

  /** Nothing tells when it is given back. */
  holdsUpQueue(): boolean {
    const { records, foreigners, leases, inventory } = this.#deps
    return records.all.peek().some((one) => one.queued === true) && foreigners.areThere(leases, inventory.peek())
  }

  #look(): void {
    const { clock, foreigners, leases, inventory } = this.#deps
    if (!this.#looking.isOver || clock.now() - this.#looking.at < lookEvery) return
    const look = { at: clock.now(), isOver: false }
    this.#looking = look
    void foreigners.look(leases, inventory, true).finally(() => {
      look.isOver = true
      this.#looks.value += 1
    })
  }
}
