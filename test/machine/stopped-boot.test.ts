// A boot that is asked to stop, at any moment, leaves nothing.
import { setTimeout as moment } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startWorld } from './world.ts'

/** ms after the start: a boot has launched its engines after about 0.4 s and is registered after 1.5 s. */
const moments = Array.from({ length: 30 }, (_, at) => at * 50)

/** Every n-th moment in a world of its own, side by side. */
const spread = (worlds: number) =>
  Array.from({ length: worlds }, (_, one) => moments.filter((_, at) => at % worlds === one))

test('SIGTERM at 30 moments of a boot ends everything that the boot has started', { timeout: 240_000 }, async () => {
  const one = async (mine: readonly number[]) => {
    const world = await startWorld({ start: false })
    for (const ms of mine) {
      world.start()
      await moment(ms)
      const code = await world.kill('SIGTERM')
      // 128: it came before Node had run our first line, and there is nothing to end.
      expect([0, 128], `at ${ms} ms`).toContain(code)
      expect(await world.processes(), `left at ${ms} ms`).toEqual([])
    }
  }
  await Promise.all(spread(2).map(one))
})
