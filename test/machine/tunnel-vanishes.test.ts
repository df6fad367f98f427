// The frp server goes and comes back, whole daemon. A file of its own: frpc finds out and comes back in its own time, up to 45 s.
import { expect, test } from 'vitest'
import { ask, enginePids, toRemote } from './asks.ts'
import { startWorld } from './world.ts'

test(
  'a frp server that vanishes and comes back costs no engine, and both ports answer again',
  { timeout: 80_000 },
  async () => {
    const world = await startWorld({ gpus: 1 })
    await world.untilRegistered()
    const before = await enginePids(world)
    const verified = () =>
      world.apiNode.world.calls.filter(({ method, listener }) => method === 'GET' && listener === 'admin').length
    const looks = verified()

    await world.frps.stop()
    const part = await world.untilPart('tunnels', 'is named', ({ problem }) => problem !== undefined, 25_000)
    expect(part.problem).toMatchObject({
      code: 'frps-unreachable',
      remedy: expect.stringContaining('whether frps runs'),
    })
    expect(await world.chat()).toBe(200)
    world.frps.start()

    await world.untilPart('tunnels', 'is proved again', ({ health }) => health === 'ok', 45_000)
    for (const role of ['inference', 'node'] as const)
      expect((await ask(`${toRemote(world, role)}/v3.0.8/health`)).status).toBe(200)
    await world.untilRegistered()
    await expect.poll(verified, { timeout: 10_000 }).toBeGreaterThan(looks)
    expect(await enginePids(world)).toEqual(before)
  },
)
