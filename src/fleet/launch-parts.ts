// The pieces that launches are made of, put together.
import { join } from 'node:path'
import { computed, type ReadonlySignal } from '@preact/signals-core'
import type { Config } from '../config/schema.ts'
import { isTerminal } from '../api/launches.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { toLaunchLifeId, toLogPath } from '../engine/life-folder.ts'
import type { GpuProcesses, Inventory } from '../gpu/inventory.ts'
import { ForeignMemory } from './foreign-memory.ts'
import { createForeigners } from './foreigners.ts'
import { LaunchDesk } from './launch-desk.ts'
import { LaunchGate } from './launch-gate.ts'
import { LaunchRecords } from './launch-records.ts'
import { createLaunchRetention, type LaunchRetention } from './launch-retention.ts'
import type { Leases } from './leases.ts'
import type { FleetState } from './loop-body.ts'
import { startNodeLaunch } from './node-launch.ts'
import type { Planner } from './planner.ts'
import type { Roster } from './roster.ts'
import type { WishBook } from './wishes.ts'

type Common = { config: Config; leases: Leases; clock: Clock; bootId: string; log: Log }

/** Before the roster, which tells it what becomes of engines. */
export function createLaunchDesk(deps: Common & { planner: Planner }) {
  const { config, clock, log } = deps
  const records = new LaunchRecords({ folder: toFolder(config), clock, log })
  return { records, launches: new LaunchDesk({ ...deps, records, toLog: (id) => toLog(config, id) }) }
}

export type LaunchPartsDeps = Common &
  ReturnType<typeof createLaunchDesk> & {
    roster: Roster
    book: WishBook
    state: FleetState
    inventory: ReadonlySignal<Inventory>
    refreshGpus?: (() => Promise<unknown>) | undefined
    gpuProcesses?: (() => Promise<GpuProcesses>) | undefined
    ending: AbortSignal
  }

export function createLaunchParts(deps: LaunchPartsDeps) {
  const { config, records, launches, roster, book, state, clock, log } = deps
  const node = startNodeLaunch({
    ...deps,
    folder: toFolder(config),
    members: roster.members,
    wishes: book.wishes,
    model: config.engine.model,
    stamp: () => records.stamp(),
  })
  const foreigners = createForeigners({
    processes: deps.gpuProcesses ?? (() => Promise.resolve({ kind: 'none' })),
    refresh: deps.refreshGpus ?? (() => Promise.resolve()),
  })
  const gate = new LaunchGate({
    ...deps,
    foreigners,
    visibleGpus: config.host.visibleGpus,
    claim: state.claim,
    nodeGpus: config.engine.nodeGpus,
    nodeId: node.id,
    whenNamed: node.load(),
    isOpen: launches.isOpen,
    most: config.launches.most,
    toLog: (id) => toLog(config, id),
  })
  const foreignMemory = new ForeignMemory({
    ...deps,
    foreigners,
    patience: config.launches.memoryWait,
    giveBack: (id) => gate.giveBack(id),
    fail: (id, problem) => launches.ended(id, problem),
  })
  const { keepCount: count, keepAge: age, keepBytes: bytes } = config.launches
  const retention = createLaunchRetention({ records, limits: { count, age, bytes }, clock, log })
  sweepAlways(retention, deps)
  return { node, gate, foreignMemory, retention, model: config.engine.model }
}

function sweepAlways(retention: LaunchRetention, { records, log, clock, ending }: LaunchPartsDeps): void {
  const wake = computed(() => records.all.value.filter((one) => isTerminal(one.state)).length)
  startLoop('launches kept', () => retention.sweep(), { log, clock, abort: ending, every: 600_000, wake })
}

const toFolder = ({ host }: Config): string => join(host.stateDir, 'launches')

const toLog = ({ host }: Config, id: string): string => toLogPath(host.logDir, toLaunchLifeId(id))
