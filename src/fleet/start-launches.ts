// Launches as their clients use them: asked for, watched, read, stopped. What becomes of them is decided in the loop.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { computed, type ReadonlySignal } from '@preact/signals-core'
import { isTerminal, type LaunchRequest, type LaunchResponse } from '../api/launches.ts'
import { within } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createStatus } from '../core/status-signal.ts'
import { until, watch } from '../core/watch.ts'
import type { Config } from '../config/schema.ts'
import { toLaunchLifeId, toLogPath } from '../engine/life-folder.ts'
import type { Inventory } from '../gpu/inventory.ts'
import type { Claim } from './claim.ts'
import { toLaunchArgs } from './launch-args.ts'
import type { LaunchDesk } from './launch-desk.ts'
import { discoverGpus, type GpuTable, refuseHeld, shareGpus, toGpuAsk } from './launch-gpus.ts'
import { followLog, type LogSource, readLog } from './launch-log.ts'
import {
  launchOwner,
  type LaunchNews,
  type LaunchRecord,
  toLaunchId,
  toLaunchResponse,
  toRequest,
} from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'
import type { Launches } from './launches.ts'
import type { Leases } from './leases.ts'
import type { FleetState } from './loop-body.ts'
import type { OrdersDesk } from './orders-desk.ts'
import { type NodeLaunch, startNodeLaunch } from './node-launch.ts'
import { isOfNode, type Roster } from './roster.ts'
import type { WishBook } from './wishes.ts'

export type LaunchesDeps = {
  config: Config
  records: LaunchRecords
  leases: Leases
  roster: Roster
  book: WishBook
  state: FleetState
  orders: OrdersDesk
  launches: LaunchDesk
  inventory: ReadonlySignal<Inventory>
  bootId: string
  clock: Clock
  log: Log
  ending: AbortSignal
}

/** ms; engines of the daemon before are looked for, and the GPUs counted. */
const openBound = 20_000

export function startLaunches(deps: LaunchesDeps): Launches {
  const { records, roster, config, clock, book, orders, state, launches: desk } = deps
  const node = startNodeLaunch({
    ...deps,
    folder: join(config.host.stateDir, 'launches'),
    members: roster.members,
    wishes: book.wishes,
    model: config.engine.model,
    stamp: () => records.stamp(),
    wall: () => clock.wall(),
  })
  void node.load()
  const all = createViews(deps, node)
  const find = (id: string) => all.peek().find((one) => one.launch_id === id)
  const get = (id: string): LaunchResponse => {
    const found = find(id)
    if (!found) throw new Refusal('launch-unknown', 404, `Unknown launch_id: ${id}`)
    return found
  }
  const isAlive = (id: string) => roster.members.peek().some((one) => toLaunchId(one.plan.owner) === id)
  const upstreams = (id: string) =>
    roster.members
      .peek()
      .filter((one) => (id === node.id() ? isOfNode(one) : toLaunchId(one.plan.owner) === id))
      .map((one) => one.life.upstream)
  return {
    name: 'launches',
    ...describeAll(all, deps),
    all,
    get: find,
    create: (request) => create(request, deps, node).then(get),
    async stop(id, { force, within: bound }) {
      const isNode = id === node.id()
      if (isTerminal(get(id).state) && !(isNode && force)) return get(id)
      if (!isNode) desk.stop(id, isAlive(id))
      else if (force) orders.halt()
      else throw refuseNode(id)
      // Whoever is told that the node has stopped finds its GPUs free.
      const isFreed = computed(() => !isNode || state.claim.value.length === 0)
      const ended = computed(
        () => isFreed.value && all.value.every((one) => one.launch_id !== id || isTerminal(one.state)),
      )
      await until(ended, Boolean, within(bound, deps.ending)).catch(() => {})
      return get(id)
    },
    async startNode() {
      const held = node.response.peek()
      if (!held) throw new Refusal('launch-unknown', 404, 'the node has no model of its own: MODEL_NAME is not set')
      if (isTerminal(held.state) || held.state === 'stopping') orders.resume()
      return get(node.id())
    },
    async forget(id) {
      if (!isTerminal(get(id).state) || id === node.id())
        throw new Refusal('launch-not-ended', 409, `Launch ${id} has not ended (state=${get(id).state})`)
      await records.remove(id)
    },
    readLog: (id, offset, most) => readLog(toSource(id, deps, get, node), offset, most),
    followLog: (id, offset, abort) => followLog(toSource(id, deps, get, node), offset, abort),
    upstreams,
    endsWithin: 5000,
    end: () => records.flush(),
  }
}

function toSource(
  id: string,
  { records, roster }: LaunchesDeps,
  get: (id: string) => LaunchResponse,
  node: NodeLaunch,
): LogSource {
  get(id)
  const path = id === node.id() ? findNodeLog(roster) : records.get(id)?.logPath
  return { path: path ?? '', hasEnded: () => isTerminal(get(id).state) }
}

/** Of its first engine. */
function findNodeLog({ members }: Roster): string | undefined {
  return members
    .peek()
    .filter(isOfNode)
    .toSorted((a, b) => a.plan.slot - b.plan.slot)[0]?.life.logPath
}

function refuseNode(id: string): Refusal {
  return new Refusal('launch-of-node', 409, `Launch ${id} is the model of this node; it is stopped by force alone`, {
    remedy: 'repeat it with force, and the node serves nothing until its broker or you start it again',
  })
}

/** Oldest first. */
function createViews({ records, roster, launches: desk, clock }: LaunchesDeps, node: NodeLaunch) {
  const news = computed(() => {
    const found = new Map<string, LaunchNews>()
    for (const [id, { why, percent }] of desk.pauses.value) found.set(id, { stage: why, percent })
    for (const { life, plan } of roster.members.value) {
      const id = toLaunchId(plan.owner)
      if (id === undefined) continue
      const phase = life.phase.value
      const ending = phase === 'ending' || phase === 'gone'
      found.set(id, { stage: phase, ...life.progress.value, ending, startedAt: life.startedAt.getTime() })
    }
    let position = 0
    for (const { id, queued } of records.all.value)
      if (queued) found.set(id, { stage: 'waiting for GPUs', queuePosition: (position += 1) })
    return found
  })
  const told = new WeakMap<LaunchRecord, LaunchResponse>()
  const tell = (record: LaunchRecord): LaunchResponse => {
    const its = isTerminal(record.state) ? undefined : news.value.get(record.id)
    const known = its ? undefined : told.get(record)
    if (known) return known
    const response = toLaunchResponse(record, its, () => clock.wall())
    if (!its) told.set(record, response)
    return response
  }
  return computed((): readonly LaunchResponse[] => {
    const own = node.response.value
    const asked = records.all.value.map(tell)
    if (!own) return asked
    const at = asked.findIndex((one) => one.created_at > own.created_at)
    return at < 0 ? [...asked, own] : asked.toSpliced(at, 0, own)
  })
}

async function create(given: LaunchRequest, deps: LaunchesDeps, node: NodeLaunch): Promise<string> {
  const { config, records, leases, inventory, launches: desk, ending, bootId } = deps
  if (given.model.trim() === '') throw new Refusal('launch-model-missing', 400, 'model must be provided')
  await whenOpen(desk.isOpen, inventory, ending)
  // From here to the reservation nothing is awaited: two callers never get the same GPU.
  const visible = discoverGpus(config.host.visibleGpus, inventory.peek())
  const ask = toGpuAsk(given, visible)
  toLaunchArgs(given, 1)
  const id = randomUUID()
  const share = shareGpus([{ id, ask }], toTable(visible, deps, node)).get(id)
  if (share?.kind !== 'given') throw refuseHeld(share?.by ?? [])
  if (!leases.reserve(share.gpus, launchOwner(id))) throw refuseHeld(share.gpus.map((gpu) => ({ gpu, who: 'unknown' })))
  const stamp = records.stamp()
  const record: LaunchRecord = {
    version: 1,
    id,
    request: toRequest(given),
    gpuIds: [...share.gpus],
    state: 'bootstrapping',
    error: null,
    createdAt: stamp,
    updatedAt: stamp,
    bootId,
    logPath: toLogPath(config.host.logDir, toLaunchLifeId(id)),
  }
  try {
    await records.add(record)
  } catch (error) {
    leases.unreserve(launchOwner(id))
    throw new Refusal('launch-not-stored', 503, messageOf(error), {
      remedy: 'free space on the disk of the state folder',
    })
  }
  return id
}

async function whenOpen(isOpen: ReadonlySignal<boolean>, inventory: ReadonlySignal<Inventory>, ending: AbortSignal) {
  const ready = computed(() => isOpen.value && inventory.value.kind !== 'unknown')
  await until(ready, Boolean, within(openBound, ending)).catch(() => {})
  if (ending.aborted) throw new Refusal('node-ending', 503, 'launch not accepted: the node is ending')
  if (!isOpen.peek())
    throw new Refusal('fleet-not-ready', 503, 'launch not accepted: engines of an earlier run are still looked for')
}

function toTable(visible: readonly number[], deps: LaunchesDeps, node: NodeLaunch): GpuTable {
  const { leases, inventory, state } = deps
  const seen = inventory.peek()
  const known = seen.kind === 'known' ? seen.gpus : []
  const claim: Claim = state.claim.peek()
  return {
    visible,
    holder(gpu) {
      const group = leases.owner(gpu)
      if (group !== undefined) return toLaunchId(group) ?? node.id()
      if (claim === 'all' || claim.includes(gpu)) return node.id()
      const holder = leases.holder(gpu, seen)
      return holder.kind === 'foreign' ? `another program, ${holder.usedMiB} of ${holder.totalMiB} MiB` : undefined
    },
    freeMiB: (gpu) => known.find((one) => one.index === gpu)?.memoryFreeMiB,
  }
}

function describeAll(all: ReadonlySignal<readonly LaunchResponse[]>, { records, clock, ending }: LaunchesDeps) {
  const status = createStatus('reading the launches', clock)
  const open = computed(() => all.value.filter((one) => one.owner === undefined && !isTerminal(one.state)))
  const seen = computed(() => ({ open: open.value, problem: records.problem.value }))
  const tell = ({ open: list, problem }: typeof seen.value) => {
    const ready = list.filter((one) => one.state === 'ready').length
    const summary = list.length === 0 ? 'no launch' : `${ready} of ${list.length} launches are ready`
    if (problem) status.set('degraded', `${summary}; ${problem.title}`, problem)
    else status.set(list.length === 0 ? 'off' : ready === list.length ? 'ok' : 'starting', summary)
  }
  watch(seen, tell, ending)
  return { status: status.signal }
}
