// A boot that is killed, at any moment, leaves nothing twice.
import { setTimeout as moment } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { OwnProcess } from './processes.ts'
import { startWorld, type World } from './world.ts'

/** ms after the start: a boot has launched its engines after about 0.4 s and is registered after 1.5 s. */
const moments = Array.from({ length: 30 }, (_, at) => at * 50)

test(
  'kill -9 at 30 moments of a boot: the next daemon has one engine per slot, and registers',
  { timeout: 300_000 },
  async () => {
    // Two kills in a row each time: that of a first boot, and that of a boot which finds what the first one left.
    const pairs = moments.slice(0, 15).map((ms, at) => [ms, moments.at(-1 - at) ?? 0])
    const one = async (mine: readonly number[][]) => {
      const world = await startWorld({ start: false })
      for (const pair of mine) {
        for (const ms of pair) {
          world.start()
          await moment(ms)
          await world.kill('SIGKILL')
        }
        world.start()
        await world.untilRegistered()
        await untilOneOfEach(world, `killed at ${pair.join(' and ')} ms`)
        await world.kill('SIGTERM')
        expect(await world.processes(), `left after ${pair.join(' and ')} ms`).toEqual([])
      }
    }
    await Promise.all([pairs.filter((_, at) => at % 2 === 0), pairs.filter((_, at) => at % 2 === 1)].map(one))
  },
)

async function untilOneOfEach(world: World, when: string): Promise<void> {
  const seen: { last: unknown } = { last: undefined }
  const count = (all: readonly OwnProcess[], kind: OwnProcess['kind']) => all.filter((one) => one.kind === kind).length
  await eventually(`one of each, ${when}`, async () => {
    const all = await world.processes()
    const engines = all.filter(({ kind, argv }) => kind === 'engine' && argv.includes('--port'))
    const ports = new Set(engines.map(({ argv }) => /--port (\d+)/.exec(argv)?.[1]))
    const cores = all.filter(({ argv }) => argv.startsWith('VLLM::')).length
    seen.last = all.map(({ kind, argv }) => `${kind}: ${argv.slice(-60)}`)
    return (
      ports.size === 2 &&
      engines.length === 2 &&
      cores === 2 &&
      count(all, 'keeper') === 3 &&
      count(all, 'frpc') === 1 &&
      count(all, 'daemon') === 1
    )
  }).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(seen.last, null, 1)}`, { cause: error })
  })
}
