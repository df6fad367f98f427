// Bad days of the frp server, whole daemon: each is named, engines are untouched, and what comes back is proved again.
import { expect, test } from 'vitest'
import { ask, enginePids, readFrpToken, toRemote } from './asks.ts'
import { startWorld } from './world.ts'

test('a refused token is named, the engine serves on, and a corrected env file brings tunnel and registration', async () => {
  const world = await startWorld({ gpus: 1, set: { SECRET_FRP_TOKEN: 'wrong-token' } })
  const part = await world.untilProblem('tunnels', 'frps-token-refused')
  expect(JSON.stringify(part)).not.toContain('wrong-token')
  await world.untilPart('fleet', 'serves', ({ health }) => health === 'ok')
  const before = await enginePids(world)
  expect(await world.chat()).toBe(200)
  expect(world.apiNode.world.nodes.size).toBe(0)

  await world.setEnv('SECRET_FRP_TOKEN', await readFrpToken(world))

  await world.untilRegistered()
  expect((await ask(`${toRemote(world, 'node')}/api/v1/state`)).status).toBe(200)
  expect(await enginePids(world)).toEqual(before)
})

test('a frozen frp server is found out by the proof, and thawed it is proved again', { timeout: 50_000 }, async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const before = await enginePids(world)
  world.frps.signal('SIGSTOP')
  await world.untilProblem('tunnels', 'frps-frozen', 25_000)
  expect(await world.chat()).toBe(200)
  world.frps.signal('SIGCONT')
  await world.untilPart('tunnels', 'is proved again', ({ health }) => health === 'ok', 20_000)
  expect(await enginePids(world)).toEqual(before)
})
