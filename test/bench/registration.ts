// How a fleet comes back to an API node that was away.
// Time runs `speed` times faster for the fleet, the API node's slowness included, so that minutes fit into seconds.
import { join } from 'node:path'
import { type ReadonlySignal, signal } from '@preact/signals-core'
import { type ApiNodes, startApiNodes } from '../../src/api-nodes/api-nodes.ts'
import { registrationSlice } from '../../src/config/registration.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import { type ApiNode, startApiNode } from '../../src/rehearsal/api-node.ts'

export type Outage = {
  /** Requests open at the API node at once while 200 nodes come back to one that had lost its records. */
  peakAfterOutage: number
  /** Seconds of the fleet's time until the last of them is registered again. */
  backAfterSeconds: number
}

const speed = 20
const fleet = 200

export async function measureOutage(root: string): Promise<Outage> {
  const node = await startApiNode({ triggers: false, scale: 1_000 })
  const clock: Clock = {
    wall: () => Date.now(),
    now: () => performance.now() * speed,
    wait: (ms, abort) => systemClock.wait(ms / speed, abort),
  }
  await node.away()
  // The whole fleet boots while the API node is away: every first try fails at the same moment.
  const parts = Array.from({ length: fleet }, (_, at) =>
    start(node, { at: at + 1, stateDir: join(root, `node-${at}`), serving: signal(true), clock }),
  )
  await systemClock.wait(60_000 / speed)
  // A slow one: 50 ms of the fleet's time for every request.
  node.world.faults.set([{ kind: 'slow', delayMs: 50 / speed }])
  await node.comeBack()
  const began = clock.now()
  await when(() => node.world.nodes.size === fleet, 60_000)
  const figures = { peakAfterOutage: node.world.peak, backAfterSeconds: Math.round((clock.now() - began) / 1_000) }
  await Promise.all(parts.map((part) => part.end('restart')))
  await node.end()
  return figures
}

function start(
  node: ApiNode,
  one: { at: number; stateDir: string; serving: ReadonlySignal<boolean>; clock?: Clock },
): ApiNodes {
  const clientId = String(one.at).padStart(4, '0')
  return startApiNodes({
    config: registrationSlice.parse({ apiNodes: `127.0.0.1:${node.adminPort}`, clientId }),
    facts: { model: 'bench/model', args: [], tunnelled: true, ports: { inference: 5000, node: 8080 } },
    needsEngine: true,
    factsKnown: signal(true),
    stateDir: one.stateDir,
    serving: one.serving,
    tunnelFor: () => signal('none' as const),
    inventory: signal<Inventory>({ kind: 'none', why: 'bench' }),
    gpuDevices: () => ({ devices: [], count: 0 }),
    startPoc: () => Promise.resolve({ status: 409, text: '' }),
    log: silentLog,
    ...(one.clock && { clock: one.clock }),
  })
}

async function when(holds: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${holds.toString()}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
