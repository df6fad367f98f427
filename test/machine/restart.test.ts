// A restart of the daemon costs nobody anything: engines, tunnels and the PoC round go on as they were.
import { expect, test } from 'vitest'
import { startPoc } from '../../src/rehearsal/api-node-poc.ts'
import { eventually } from '../support/eventually.ts'
import { enginePids, recordOf, startTraffic } from './asks.ts'
import { startWorld, type World } from './world.ts'

const set = { REHEARSAL_POC_CALLBACK_MS: '200', REHEARSAL_POC_NONCES_PER_S: '400', REHEARSAL_POC_BLOCKS_CHAT: '0' }

const frpcPids = async (world: World) =>
  (await world.processes()).filter(({ kind }) => kind === 'frpc').map(({ pid }) => pid)

/** What arrived at the API node: exactly the node's share, each engine in its own group. */
function coverage(world: World, groups: number) {
  const [found] = world.apiNode.world.coverage.describe(world.apiNode.world.round?.blockHash ?? '', groups)
  return found ?? { count: 0, batches: 0, duplicates: 0, foreign: 0, groups: [] }
}

const countPosts = ({ apiNode }: World) =>
  apiNode.world.calls.filter(({ method, path }) => method === 'POST' && path === '/admin/v1/nodes').length

test('kill -9 of the daemon in a PoC round: the next one adopts engines, tunnels and round, and callers see no 5xx', async () => {
  const world = await startWorld({ set })
  await world.untilRegistered()
  const before = { engines: await enginePids(world), frpc: await frpcPids(world) }
  await startPoc(world.apiNode.world, {})
  await eventually('both groups arrive', () => coverage(world, 2).groups.every(({ count }) => count > 100))
  const traffic = startTraffic(world)
  await eventually('chats are answered', () => (traffic.seen.get('200') ?? 0) > 5)

  const posts = countPosts(world)

  await world.kill('SIGKILL')
  const reached = coverage(world, 2).groups.map(({ highest }) => highest)
  world.start()

  await world.untilPart('fleet', 'serves', ({ health }) => health === 'ok')
  await world.untilPart('poc', 'goes on', ({ summary }) => summary.includes('2 of 2 engines mine'))
  await world.untilPart('tunnels', 'are proved', ({ health }) => health === 'ok')
  await world.untilPart('api-nodes', 'is verified', ({ summary }) => summary.includes('registered as'))
  const answered = traffic.seen.get('200') ?? 0
  await eventually('chats go on', () => (traffic.seen.get('200') ?? 0) > answered + 5)
  await traffic.stop()
  await eventually('both groups have come further, without a gap', () => {
    const now = coverage(world, 2).groups
    return now.every(({ highest, missing }, at) => missing === 0 && highest > (reached[at] ?? 0) + 100)
  })
  const { duplicates, foreign, count, batches } = coverage(world, 2)
  expect(foreign).toBe(0)
  // A batch of each engine that was on its way when the daemon was killed: its answer was lost, so it is sent again.
  expect(duplicates).toBeLessThanOrEqual((4 * count) / batches)
  expect({ engines: await enginePids(world), frpc: await frpcPids(world) }).toEqual(before)
  // A POST of the same record would make the broker load the model again.
  expect(countPosts(world)).toBe(posts)
  expect([...traffic.seen.keys()].filter((outcome) => /^[345]/.test(outcome))).toEqual([])
})

test('a changed env file restarts the daemon in place, under requests, and nothing is loaded again', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const before = { engines: await enginePids(world), frpc: await frpcPids(world), pid: world.daemon().pid() }
  const { startedAt } = await world.status()
  const traffic = startTraffic(world)

  await world.setEnv('MAX_CONCURRENT', '321')

  await eventually('a new run answers', async () => (await world.status()).startedAt !== startedAt)
  await eventually('the API node knows the change', () => recordOf(world).max_concurrent === 321)
  await world.untilRegistered()
  const answered = traffic.seen.get('200') ?? 0
  await eventually('chats go on', () => (traffic.seen.get('200') ?? 0) > answered + 5)
  await traffic.stop()
  expect((await world.status()).pid).toBe(before.pid)
  expect({ engines: await enginePids(world), frpc: await frpcPids(world), pid: before.pid }).toEqual(before)
  expect([...traffic.seen.keys()].filter((outcome) => /^[345]/.test(outcome))).toEqual([])
})
