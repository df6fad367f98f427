// What the tests of the fleet share: a machine with files, GPUs, a clock that only the test moves, and engines in memory.
import { join } from 'node:path'
import { signal, type Signal } from '@preact/signals-core'
import { onTestFinished } from 'vitest'
import type { LaunchRequest } from '../../src/api/launches.ts'
import { type Config, slices } from '../../src/config/schema.ts'
import { onAbort } from '../../src/core/abort.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Intent } from '../../src/core/intent.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { type FleetDeps, startFleet } from '../../src/fleet/start-fleet.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import type { Files } from '../../src/models/files.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { FakeWorld } from './fake-world.ts'

export function toConfig(root: string, engine: Record<string, string> = {}, more: Partial<Config> = {}): Config {
  return {
    registration: slices.registration.parse({}),
    tunnels: slices.tunnels.parse({}),
    models: slices.models.parse({}),
    poc: slices.poc.parse({}),
    launches: slices.launches.parse({}),
    listeners: slices.listeners.parse({}),
    host: slices.host.parse({ stateDir: join(root, 'state'), logDir: join(root, 'logs') }),
    engine: slices.engine.parse({ model: 'Test/A', pythonPath: process.execPath, profile: 'plugin', ...engine }),
    engineEnv: {},
    ...more,
  }
}

export function toGpus(count: number, used: readonly number[] = [], at = new Date(1)): Inventory {
  return {
    kind: 'known',
    at,
    gpus: Array.from({ length: count }, (_, index) => ({
      index,
      uuid: `GPU-${index}`,
      name: 'NVIDIA Test',
      memoryTotalMiB: 80_000,
      memoryUsedMiB: used[index] ?? 0,
      computeCapability: '9.0',
      mig: false,
    })),
  }
}

/** A launch of Test/B; null: on all GPUs. */
export const toAsk = (gpu_ids: readonly number[] | null, more: Partial<LaunchRequest> = {}): LaunchRequest => ({
  model: 'Test/B',
  gpu_ids,
  task: 'generate',
  extra_kwargs: {},
  ...more,
})

/** A stop that nobody hurries. */
export const calm = { force: false, within: 5000 }

export interface TestClock extends Clock {
  advance(ms: number): void
  /** The wall clock alone, as ntpd or a person sets it. */
  step(ms: number): void
}

export function createTestClock(): TestClock {
  let now = 0
  let stepped = 0
  const waiting = new Set<{ at: number; done: () => void }>()
  return {
    now: () => now,
    wall: () => 1_700_000_000_000 + now + stepped,
    step: (ms) => void (stepped += ms),
    wait: (ms, abort) =>
      new Promise((resolve) => {
        if (abort?.aborted) return resolve()
        const entry = { at: now + ms, done: () => {} }
        const forget = abort ? onAbort(abort, () => entry.done()) : () => {}
        entry.done = () => {
          waiting.delete(entry)
          forget()
          resolve()
        }
        waiting.add(entry)
      }),
    advance: (ms) => {
      now += ms
      for (const entry of waiting) if (entry.at <= now) entry.done()
    },
  }
}

export async function fleetBed(engine: Record<string, string> = {}, gpus = 2) {
  const root = await tempDir()
  const clock = createTestClock()
  const world = new FakeWorld()
  const inventory = signal<Inventory>(toGpus(gpus))
  const files = new Map<string, Signal<Files>>()
  const filesOf = (model: string) => {
    const found = files.get(model) ?? signal<Files>({ kind: 'ready', path: join(root, 'models', model) })
    files.set(model, found)
    return found
  }
  const fleets: Fleet[] = []
  /** A daemon's fleet; `more` is what differs from the usual. */
  const start = (more: Partial<FleetDeps> = {}): Fleet => {
    const fleet = startFleet({
      config: toConfig(root, engine),
      files: ({ repo }) => filesOf(repo),
      inventory,
      instanceId: 'i-1',
      lives: world.lives(),
      engineHome: { home: root },
      log: silentLog,
      clock,
      random: () => 0.5,
      bootId: 'boot-1',
      ...more,
    })
    fleets.push(fleet)
    return fleet
  }
  const end = async (fleet: Fleet, intent: Intent): Promise<void> => {
    const done = fleet.end(intent)
    let over = false
    void done.then(() => (over = true))
    await eventually('the fleet ends', () => {
      world.finishEnding()
      return over
    })
  }
  onTestFinished(async () => {
    for (const fleet of fleets) await end(fleet, 'restart')
  })
  const alive = (count: number) => eventually(`${count} engines`, () => world.alive().length === count)
  return { root, clock, world, inventory, filesOf, start, end, alive }
}

export const forever = new AbortController().signal
