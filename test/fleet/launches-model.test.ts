// Random days of launches on eight GPUs: asked for, stopped, crashed, killed with the daemon, in any order, against a model of
// what may never happen.
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signal } from '@preact/signals-core'
import fc from 'fast-check'
import { test } from 'vitest'
import { isTerminal, type LaunchRequest } from '../../src/api/launches.ts'
import { Refusal } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { startFleet } from '../../src/fleet/start-fleet.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import type { Files } from '../../src/models/files.ts'
import { createTestClock, toConfig, toGpus } from './bed.ts'
import { FakeWorld } from './fake-world.ts'

const gpus = 8
const files = signal<Files>({ kind: 'ready', path: '/models/x' })

type Event =
  | { kind: 'launch'; ask: Pick<LaunchRequest, 'gpu_ids' | 'gpu_count' | 'queue' | 'ttl_seconds'> }
  /** kept: it crashed, and its GPU memory stays until `ended`. */
  | { kind: 'stop' | 'crash' | 'kept'; nth: number }
  | { kind: 'ready' | 'ended' | 'kill' | 'time' | 'slow' }

const ask = fc.oneof(
  fc.record({ gpu_ids: fc.array(fc.integer({ min: 0, max: gpus - 1 }), { minLength: 1, maxLength: 3 }) }),
  fc.record({ gpu_ids: fc.constant(null), gpu_count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ gpu_ids: fc.constant(null) }),
)
const nth = fc.nat({ max: 9 })
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('launch' as const),
      ask: fc.tuple(ask, fc.boolean(), fc.boolean()).map(([one, queue, brief]) => ({
        ...one,
        queue,
        ...(brief && { ttl_seconds: 30 }),
      })),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('stop' as const), nth }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kept' as const), nth }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'ready' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'ended' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'kill' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'time' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'slow' as const }) },
)

const turn = () => new Promise((resolve) => setImmediate(resolve))

async function copyState(from: string, to: string): Promise<void> {
  const folder = join('state', 'launches')
  await mkdir(join(to, folder), { recursive: true })
  const names = from === '' ? [] : await readdir(join(from, folder))
  const copies = names.filter((name) => name.endsWith('.json'))
  await Promise.all(copies.map((name) => copyFile(join(from, folder, name), join(to, folder, name))))
}

class Day {
  readonly world = new FakeWorld()
  readonly clock = createTestClock()
  readonly #inventory = signal<Inventory>(toGpus(gpus))
  readonly #folder: string
  #daemons = 0
  #root = ''
  fleet!: Fleet
  readonly calls: Promise<unknown>[] = []

  constructor(folder: string) {
    this.#folder = folder
  }

  async start(): Promise<void> {
    this.#daemons += 1
    const old = this.#root
    this.#root = join(this.#folder, String(this.#daemons))
    // What a killed daemon had on disk at that moment, and not what it would have written later.
    await copyState(old, this.#root)
    this.fleet = startFleet({
      config: toConfig(this.#root, { model: '' }),
      files: () => files,
      inventory: this.#inventory,
      instanceId: 'i-1',
      lives: this.world.lives(),
      engineHome: { home: this.#root },
      log: silentLog,
      clock: this.clock,
      random: () => 0.5,
      bootId: 'boot-1',
    })
  }

  get launches() {
    return this.fleet.launches.all.peek()
  }

  get open() {
    return this.launches.filter((one) => !isTerminal(one.state))
  }

  async until(what: string, wanted: () => boolean): Promise<void> {
    for (let at = 0; at < 9000; at += 1) {
      if (wanted()) return
      await turn()
      // On a machine that is overrun the disk takes longer than the days that pass meanwhile.
      if (at % (at < 900 ? 50 : 900) === 49) this.clock.advance(1000)
      // The disk needs real time.
      if (at > 500) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    throw new Error(
      `never: ${what}: ${JSON.stringify([this.launches, this.world.alive().map((one) => one.spec.owner)])}`,
    )
  }

  async kill(): Promise<void> {
    const before = this.fleet
    await this.start()
    await before.end('restart')
    await this.untilOpen()
  }

  /** Whatever is refused with 400 was judged: the daemon knows its launches. */
  async untilOpen(): Promise<void> {
    const refused = this.fleet.launches.create({ model: 'm', gpu_ids: [], task: 'generate', extra_kwargs: {} })
    const why = await refused.catch((error: unknown) => error)
    if (!(why instanceof Refusal) || why.status !== 400) throw new Error('the daemon is not up', { cause: why })
  }

  async happen(one: Event): Promise<void> {
    const { world } = this
    switch (one.kind) {
      case 'launch':
        this.calls.push(this.launch(one.ask))
        return
      case 'stop': {
        const found = this.open[one.nth]
        if (found) this.calls.push(this.fleet.launches.stop(found.launch_id, { force: false, within: 1 }))
        return
      }
      case 'crash': {
        const found = world.alive()[one.nth]
        return found && world.crash(found)
      }
      case 'kept': {
        const found = world.alive()[one.nth]
        return found && world.keepMemory(found)
      }
      case 'ready':
        return world.ready()
      case 'ended':
        return world.finishEnding()
      case 'slow':
        world.endsAtOnce = !world.endsAtOnce
        return
      case 'time':
        return this.clock.advance(31_000)
      case 'kill':
        return this.kill()
    }
  }

  async launch(more: Partial<LaunchRequest>): Promise<void> {
    const request: LaunchRequest = { model: 'Test/B', task: 'generate', extra_kwargs: {}, gpu_ids: null, ...more }
    await this.fleet.launches.create(request).catch((error: unknown) => {
      if (!(error instanceof Refusal) || ![409, 503].includes(error.status)) throw error
      if (error.status === 503 && !/ending/.test(error.message)) throw error
      if (request.queue && error.status === 409) throw error
    })
  }

  /** Holds at every moment. */
  check(): void {
    const { world } = this
    if (world.wrongs.length > 0) throw new Error(world.wrongs.join('; '))
    const held = this.open.filter((one) => one.queue_position === undefined).flatMap((one) => one.gpu_ids)
    if (held.length > new Set(held).size) throw new Error(`a GPU has two launches: ${held.join()}`)
  }

  /** Holds when all that follows from the events has happened: leases and processes belong together. */
  async checkCalm(): Promise<void> {
    const { world } = this
    const owners = () => world.alive().map((one) => one.spec.owner)
    const toOwner = (id: string) => `launch:${id}`
    await this.until('every process has a launch that is open', () =>
      owners().every((owner) => this.open.some((one) => toOwner(one.launch_id) === owner)),
    )
    await this.until('every launch that has GPUs has a process', () =>
      this.open.every((one) => one.queue_position !== undefined || owners().includes(toOwner(one.launch_id))),
    )
    this.check()
  }
}

async function live(events: readonly Event[], folder: string): Promise<void> {
  const day = new Day(folder)
  await day.start()
  for (const one of events) {
    await day.happen(one)
    day.check()
    // Some of what follows from it happens before the next event, some does not.
    await turn()
  }
  await Promise.all(day.calls)
  await day.checkCalm()
  await day.until('every launch has ended after its stop', () => {
    for (const one of day.open) void day.fleet.launches.stop(one.launch_id, { force: false, within: 1 })
    day.world.finishEnding()
    return day.open.length === 0
  })
  if (day.world.alive().length > 0) throw new Error('an engine lives on')
  const last = await day.fleet.launches.create({ model: 'm', gpu_ids: null, task: 'generate', extra_kwargs: {} })
  if (last.gpu_ids.length < gpus) throw new Error(`a lease is left over: ${last.gpu_ids.join()}`)
  await day.fleet.end('restart')
}

test('no GPU is leased twice, no lease is without a process or its start, no process without a lease, and a stop ends all', async () => {
  // In memory: what is told here is not how fast a disk is.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'launches-'))
  let at = 0
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12 }), async (events) => {
        at += 1
        const own = join(folder, String(at))
        await mkdir(own)
        await live(events, own)
      }),
      { numRuns: 500, endOnFailure: true },
    )
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}, 300_000)
