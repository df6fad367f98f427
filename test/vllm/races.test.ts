// Random days of launches on eight GPUs with real processes: asked for at the same time, stopped, their processes killed, the daemon
// killed and started again, in any order, against a model of what may never happen. The same in memory, faster: test/fleet.
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { isTerminal, type LaunchResponse } from '../../src/api/launches.ts'
import { eventually } from '../support/eventually.ts'
import { gpuCount, isQueued, type RaceWorld, startRaceWorld } from './race-world.ts'

/** All of them where a number is given; else as many of 500 as these 3 minutes bear. */
const wanted = Number(process.env['RACE_SEQUENCES'] ?? 0)
const [sequences, timeLimit] = wanted > 0 ? [wanted, 24 * 3_600_000] : [500, 180_000]
/** Worlds at the same time: most of a sequence is waiting. */
const worlds = 3

type Event =
  | { kind: 'launch'; body: { gpu_ids?: number[] | null; gpu_count?: number; queue: boolean } }
  | { kind: 'stop' | 'until-ready'; nth: number }
  | { kind: 'crash'; nth: number; part: number }
  | { kind: 'kill-daemon' }

const which = fc.oneof(
  fc.record({ gpu_ids: fc.uniqueArray(fc.nat({ max: gpuCount - 1 }), { minLength: 1, maxLength: 3 }) }),
  fc.record({ gpu_count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ gpu_ids: fc.constant(null) }),
)
const nth = fc.nat({ max: 3 })
const launch: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant('launch' as const),
  body: fc.tuple(which, fc.boolean()).map(([one, queue]) => ({ ...one, queue })),
})
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 5, arbitrary: launch },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('stop' as const), nth }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('crash' as const), nth, part: fc.nat({ max: 2 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('until-ready' as const), nth }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'kill-daemon' as const }) },
)
/** What is in one row happens at the same time. */
const row = (one: fc.Arbitrary<Event>) => fc.array(one, { minLength: 1, maxLength: 3, size: 'max' })
const day = fc
  .tuple(row(launch), fc.array(row(event), { maxLength: 3, size: 'max' }))
  .map(([first, rest]) => [first, ...rest])

const counts = { sequences: 0, launches: 0, refused: 0, stops: 0, crashes: 0, daemons: 0 }

/** Launches that were taken on this day; a call that a killed daemon did not answer may have been taken as well. */
class Day {
  readonly #world: RaceWorld
  readonly #calls: Promise<unknown>[] = []
  /** There is one daemon to kill. */
  #reborn: Promise<void> | undefined
  readonly ids = new Set<string>()

  constructor(world: RaceWorld) {
    this.#world = world
  }

  /** A daemon that is killed answers nobody. */
  async #open(): Promise<LaunchResponse[]> {
    const open = await this.#world.list().catch((): LaunchResponse[] => [])
    for (const { launch_id: id } of open) this.ids.add(id)
    return open
  }

  async #pick(nth: number): Promise<LaunchResponse | undefined> {
    const open = await this.#open()
    return open[nth % open.length]
  }

  async happen(one: Event): Promise<void> {
    const world = this.#world
    switch (one.kind) {
      case 'launch':
        return this.#launch(one.body)
      case 'stop': {
        const found = await this.#pick(one.nth)
        if (!found) return
        counts.stops += 1
        this.#calls.push(world.stop(found.launch_id).catch(tolerateKilled))
        return
      }
      case 'crash': {
        const found = await this.#pick(one.nth)
        const its = world.engineProcesses().filter(({ launch }) => launch === found?.launch_id)
        const hit = its[one.part % its.length]
        if (!hit) return
        counts.crashes += 1
        return kill(hit.pid)
      }
      case 'until-ready': {
        const found = await this.#pick(one.nth)
        if (!found || isQueued(found)) return
        const isOver = async () => (await world.look(found.launch_id)).state !== 'bootstrapping'
        await eventually(`${found.launch_id} is ready or over`, isOver, 60_000, 20)
        return
      }
      case 'kill-daemon':
        this.#reborn ??= this.#killDaemon().finally(() => (this.#reborn = undefined))
        return this.#reborn
    }
  }

  async #killDaemon(): Promise<void> {
    counts.daemons += 1
    await this.#world.kill('SIGKILL')
    this.#world.start()
    await this.#world.untilUp()
  }

  async #launch(body: object): Promise<void> {
    const answer = await this.#world.post({ ...body }).catch(tolerateKilled)
    if (!answer) return
    const told = JSON.parse(answer.text) as LaunchResponse & { detail: string }
    if (answer.status === 201) {
      counts.launches += 1
      this.ids.add(told.launch_id)
      return
    }
    counts.refused += 1
    const isHeld = /^Requested GPUs are in use \((gpu \d -> [0-9a-f-]{36}(, )?)+\)$/.test(told.detail)
    hold(answer.status === 409 && isHeld, `refused with ${answer.status}: ${answer.text}`)
  }

  /** Holds at every moment: neither the launches nor the processes share a GPU. */
  async check(): Promise<void> {
    const held = (await this.#open()).filter((one) => !isQueued(one)).flatMap((one) => one.gpu_ids)
    hold(held.length === new Set(held).size, `a GPU has two launches: ${held.join()}`)
    const users = new Map<number, Set<string>>()
    for (const { launch, gpus } of this.#world.engineProcesses())
      for (const gpu of gpus) users.set(gpu, (users.get(gpu) ?? new Set()).add(launch))
    for (const [gpu, its] of users) hold(its.size === 1, `GPU ${gpu} has engines of two launches: ${[...its].join()}`)
  }

  /** Holds when all that follows from the events has happened. */
  async checkCalm(): Promise<void> {
    const world = this.#world
    await Promise.all(this.#calls)
    await eventually(
      'every launch that has GPUs is ready and has a process, and every process has such a launch',
      async () => {
        const leased = (await this.#open()).filter((one) => !isQueued(one))
        if (!leased.every((one) => one.state === 'ready')) return false
        // Every process of this machine is looked at for it.
        const running = new Set(world.engineProcesses().map(({ launch }) => launch))
        return running.size === leased.length && leased.every((one) => running.has(one.launch_id))
      },
      60_000,
      50,
    )
    await this.check()
  }

  async checkEnd(): Promise<void> {
    const world = this.#world
    // What waits in the queue gets GPUs while others are stopped.
    for (let open = await this.#open(); open.length > 0; open = await this.#open())
      for (const { launch_id: id, state } of await Promise.all(open.map((one) => world.stop(one.launch_id))))
        hold(isTerminal(state), `${id} is ${state} after its stop`)
    for (const id of this.ids) {
      const { state } = await world.look(id)
      hold(isTerminal(state), `${id} is ${state} after all were stopped`)
    }
    const left = [...world.engineProcesses(), ...world.segments(), ...world.holders()]
    hold(left.length === 0, `left: ${JSON.stringify(left)}`)
    // Its files are not there, which is known after it was given its GPUs: all of them, or a lease is left.
    const probe = await world.launch({ model: 'races/absent' })
    hold(probe.gpu_ids.length === gpuCount, `a lease is left: only ${probe.gpu_ids.join()} are free`)
    await world.untilState(probe.launch_id, 'failed')
  }
}

function hold(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}

function tolerateKilled(error: NodeJS.ErrnoException): undefined {
  if (!/ECONNREFUSED|ECONNRESET|EPIPE/.test(error.code ?? '') && !/aborted|socket hang up/.test(error.message))
    throw error
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {}
}

async function live(world: RaceWorld, rows: readonly (readonly Event[])[]): Promise<void> {
  const today = new Day(world)
  for (const row of rows) {
    await Promise.all(row.map((one) => today.happen(one)))
    await today.check()
  }
  await today.checkCalm()
  await today.checkEnd()
  counts.sequences += 1
}

const ends: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const end of ends.toReversed()) await end()
})

test(
  'no GPU is leased twice, no lease is without a process or its start, no process without a lease, a stop ends all, and nothing is left',
  async () => {
    const began = performance.now()
    const run = async (number: number) => {
      const world = await startRaceWorld((end) => void ends.push(end))
      await fc.assert(
        fc.asyncProperty(day, (rows) =>
          live(world, rows).catch(async (error: Error) => {
            throw new Error(`${error.message}\n${(await world.log()).slice(-20_000)}`, { cause: error })
          }),
        ),
        {
          numRuns: Math.ceil((sequences - number) / worlds),
          interruptAfterTimeLimit: timeLimit,
          endOnFailure: true,
        },
      )
    }
    await Promise.all(Array.from({ length: Math.min(worlds, sequences) }, (_, number) => run(number)))
    console.log('races:', { ...counts, seconds: Math.round((performance.now() - began) / 1000) })
    expect(counts.sequences).toBeGreaterThan(0)
  },
  wanted > 0 ? 24 * 3_600_000 : 480_000,
)
