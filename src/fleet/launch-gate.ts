// Who gets GPUs: at the request, or later from the queue, first come first served. The only place that gives GPUs to launches.
import { randomUUID } from 'node:crypto'
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import { isTerminal, type LaunchRequest } from '../api/launches.ts'
import { within } from '../core/abort.ts'
import { messageOf, Refusal } from '../core/errors.ts'
import { until } from '../core/watch.ts'
import type { Gpu, Inventory } from '../gpu/inventory.ts'
import type { Claim } from './claim.ts'
import type { Foreigners } from './foreigners.ts'
import { toLaunchArgs } from './launch-args.ts'
import {
  describeHeld,
  discoverGpus,
  type GpuAsk,
  type GpuTable,
  type GpuWish,
  refuseHeld,
  type Share,
  shareGpus,
  toGpuAsk,
} from './launch-gpus.ts'
import { launchOwner, type LaunchRecord, toLaunchId, toRequest } from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'
import type { Leases } from './leases.ts'

export type LaunchGateDeps = {
  records: LaunchRecords
  leases: Leases
  inventory: ReadonlySignal<Inventory>
  /** CUDA_VISIBLE_DEVICES */
  visibleGpus: string | undefined
  /** What the node's own model keeps for itself. */
  claim: ReadonlySignal<Claim>
  /** NODE_GPUS */
  nodeGpus: readonly number[] | undefined
  /** Of the node's own launch; the stored one from `whenNamed` on, where it can be read. */
  nodeId: () => string
  whenNamed: Promise<void>
  /** Records are read, engines adopted, and the node's GPUs known. */
  isOpen: ReadonlySignal<boolean>
  foreigners: Foreigners
  /** So many may run or wait. */
  most: number
  bootId: string
  /** Where the log of a launch is. */
  toLog: (id: string) => string
  ending: AbortSignal
}

/** ms; engines of the daemon before are looked for, and the GPUs counted. */
const openBound = 20_000

export class LaunchGate {
  readonly #deps: LaunchGateDeps
  /** What those who wait ask for: looked at in every pass, and the same as long as the same GPUs are there. */
  readonly #asks = new WeakMap<GpuWish, { visible: string; ask: GpuAsk | undefined }>()
  readonly #queue = signal<ReadonlyMap<string, string>>(new Map())

  constructor(deps: LaunchGateDeps) {
    this.#deps = deps
  }

  /** Who has what each launch in the queue waits for, as of the last pass. */
  get queue(): ReadonlySignal<ReadonlyMap<string, string>> {
    return this.#queue
  }

  /** @returns the id; its record is on disk @throws Refusal 400, 409 or 503 */
  async admit(given: LaunchRequest): Promise<string> {
    const { records, leases, inventory, foreigners } = this.#deps
    if (given.model.trim() === '') throw new Refusal('launch-model-missing', 400, 'model must be provided')
    await Promise.all([this.#whenOpen(), this.#deps.whenNamed])
    await foreigners.look(leases, inventory, given.min_free_mib !== undefined)
    // From here to the reservation nothing is awaited: two callers never get the same GPU.
    const visible = discoverGpus(this.#deps.visibleGpus, inventory.peek())
    const ask = toGpuAsk(given, visible, (gpu) => this.#find(gpu)?.memoryTotalMiB)
    this.#refuseTooMany()
    toLaunchArgs(given, 1)
    const record = this.#toRecord(given)
    const share = this.#share(visible, { id: record.id, ask }).get(record.id)
    if (share?.kind !== 'given' && !given.queue) throw refuseHeld(share?.by ?? [])
    const next: LaunchRecord =
      share?.kind === 'given'
        ? { ...record, gpuIds: this.#take(record.id, share.gpus) }
        : { ...record, queued: true, gpuIds: 'gpus' in ask ? ask.gpus : [] }
    try {
      await records.add(next)
    } catch (error) {
      leases.unreserve(launchOwner(record.id))
      throw new Refusal('launch-not-stored', 503, messageOf(error), {
        remedy: 'free space on the disk of the state folder',
      })
    }
    return record.id
  }

  /** Gives what has become free to those who wait for it. */
  promote(): void {
    const { records } = this.#deps
    if (!records.all.peek().some(isWaiting)) return this.#tell(new Map())
    const held = new Map<string, string>()
    for (const [id, share] of this.#share(this.#discover())) {
      const record = records.get(id)
      if (share.kind === 'held') held.set(id, describeHeld(share.by, this.#deps.nodeId()))
      if (!record || share.kind !== 'given') continue
      const { queued: _queued, ...rest } = record
      records.replace({ ...rest, gpuIds: this.#take(id, share.gpus) })
    }
    this.#tell(held)
  }

  /** Before its engine was started another program took the memory: it waits on, in its old place, perhaps for other GPUs. */
  giveBack(id: string): void {
    const { records, leases } = this.#deps
    const record = records.get(id)
    if (!record || record.state !== 'bootstrapping') return
    leases.unreserve(launchOwner(id))
    records.replace({ ...record, queued: true, gpuIds: record.request.gpu_count === undefined ? record.gpuIds : [] })
  }

  #tell(held: ReadonlyMap<string, string>): void {
    const old = this.#queue.peek()
    if (held.size !== old.size || [...held].some(([id, text]) => old.get(id) !== text)) this.#queue.value = held
  }

  #share(visible: readonly number[], last?: { id: string; ask: GpuAsk }): ReadonlyMap<string, Share> {
    const waiting = this.#deps.records.all.peek().filter(isWaiting)
    const key = visible.join()
    const asks = waiting.flatMap(({ id, request }) => {
      const ask = this.#asks.get(request)
      const known = ask?.visible === key ? ask : { visible: key, ask: toAskOrNothing(request, visible) }
      if (known !== ask) this.#asks.set(request, known)
      return known.ask ? [{ id, ask: known.ask }] : []
    })
    return shareGpus(last ? [...asks, last] : asks, this.#toTable(visible))
  }

  #take(id: string, gpus: readonly number[]): readonly number[] {
    if (!this.#deps.leases.reserve(gpus, launchOwner(id))) throw new Error(`GPUs ${gpus.join(', ')} are leased already`)
    return gpus
  }

  /** None while they cannot be counted. */
  #discover(): readonly number[] {
    try {
      return discoverGpus(this.#deps.visibleGpus, this.#deps.inventory.peek())
    } catch {
      return []
    }
  }

  #toTable(visible: readonly number[]): GpuTable {
    const { leases, inventory, claim, nodeId, nodeGpus, foreigners } = this.#deps
    const seen = inventory.peek()
    const own = claim.peek()
    return {
      visible,
      holder(gpu) {
        const group = leases.owner(gpu)
        if (group !== undefined) return toLaunchId(group) ?? nodeId()
        if (own === 'all' ? (nodeGpus?.includes(gpu) ?? true) : own.includes(gpu)) return nodeId()
        const holder = leases.holder(gpu, seen)
        return holder.kind === 'foreign' ? foreigners.describe(gpu, holder) : undefined
      },
      freeMiB: (gpu) => this.#find(gpu)?.memoryFreeMiB,
    }
  }

  #find(gpu: number): Gpu | undefined {
    const seen = this.#deps.inventory.peek()
    return seen.kind === 'known' ? seen.gpus.find((one) => one.index === gpu) : undefined
  }

  /** A client that asks in a loop fills no disk, and nobody's list. */
  #refuseTooMany(): void {
    const { records, most } = this.#deps
    const open = records.all.peek().filter((one) => !isTerminal(one.state)).length
    if (open < most) return
    const text = `${open} launches run or wait, and no more may: stop one, or ask again when one has ended (LAUNCH_MOST=${most})`
    throw new Refusal('launches-too-many', 429, text)
  }

  #toRecord(given: LaunchRequest): LaunchRecord {
    const { records, bootId, toLog } = this.#deps
    const [id, stamp] = [randomUUID(), records.stamp()]
    const about = { request: toRequest(given), gpuIds: [], logPath: toLog(id), bootId }
    return { version: 1, id, ...about, state: 'bootstrapping', error: null, createdAt: stamp, updatedAt: stamp }
  }

  async #whenOpen(): Promise<void> {
    const { isOpen, inventory, ending } = this.#deps
    const ready = computed(() => isOpen.value && inventory.value.kind !== 'unknown')
    await until(ready, Boolean, within(openBound, ending)).catch(() => {})
    if (ending.aborted) throw new Refusal('node-ending', 503, 'launch not accepted: the node is ending')
    if (!isOpen.peek())
      throw new Refusal('fleet-not-ready', 503, 'launch not accepted: engines of an earlier run are still looked for')
  }
}

const isWaiting = (record: LaunchRecord): boolean => record.queued === true && record.state === 'bootstrapping'

/** GPUs may vanish while somebody waits for them: then he waits on. */
function toAskOrNothing(request: GpuWish, visible: readonly number[]): GpuAsk | undefined {
  try {
    return toGpuAsk(request, visible)
  } catch {
    return undefined
  }
}
