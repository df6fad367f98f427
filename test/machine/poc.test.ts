// A PoC round of the whole node: its engines together deliver exactly the asked nonces, an engine that comes late included, and
// what the API node then asks to be validated comes back to it.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { startPoc, startValidation, stopPoc, toInit } from '../../src/rehearsal/api-node-poc.ts'
import { eventually } from '../support/eventually.ts'
import { ask, enginePids, whenPid } from './asks.ts'
import { startWorld, type World } from './world.ts'

const set = { REHEARSAL_POC_CALLBACK_MS: '200', REHEARSAL_POC_NONCES_PER_S: '400', REHEARSAL_POC_BLOCKS_CHAT: '0' }

const config = z.looseObject({ node_id: z.int(), node_count: z.int(), group_id: z.int(), n_groups: z.int() })
const backend = z.looseObject({ port: z.int(), status: z.string(), config: config.nullish() })
const aggregate = z.looseObject({ status: z.string(), backends: z.array(backend) })

async function pocStatus({ node }: World, base = '/api/v1/inference/pow') {
  const answer = await ask(`${node}${base}/status`)
  expect([answer.status, answer.ms < 5000]).toEqual([200, true])
  return aggregate.parse(JSON.parse(answer.text))
}

const groupsOf = ({ backends }: z.output<typeof aggregate>) =>
  backends.map((one) => (one.config ? `${one.config.group_id} of ${one.config.n_groups}` : one.status))

/** What arrived at the API node in its present round. */
function coverage({ apiNode }: World, groups: number) {
  const [found] = apiNode.world.coverage.describe(apiNode.world.round?.blockHash ?? '', groups)
  return found ?? { nodeCount: 0, count: 0, duplicates: 0, foreign: 0, groups: [] }
}

/** Every group has come further by `more` nonces than it was, and has no gap. */
function hasGrown(world: World, before: readonly { count: number }[], more: number): boolean {
  const { groups } = coverage(world, 3)
  return (
    groups.length === 3 && groups.every((one, at) => one.missing === 0 && one.count >= (before[at]?.count ?? 0) + more)
  )
}

test('P19 a round that begins while an engine loads is mined whole, and validated', { timeout: 120_000 }, async () => {
  const world = await startWorld({ gpus: 3, set: { ...set, REHEARSAL_LOAD_MS: '200,200,3000' } })
  const api = world.apiNode.world
  // Held in its load until the round has begun, however busy the machine is.
  const late = await whenPid(world, 2)
  process.kill(late, 'SIGSTOP')
  await world.untilRegistered()
  await eventually('two engines serve', async () => (await pocStatus(world)).backends.length === 2)
  expect((await world.engines())[2]?.phase).toBe('loading')

  expect(Object.values(await startPoc(api, {}))).toEqual([200])

  const early = await pocStatus(world)
  expect([early.status, groupsOf(early)]).toEqual(['GENERATING', ['0 of 3', '1 of 3']])
  await eventually('the first two groups arrive', () => {
    const [first, second, third] = coverage(world, 3).groups
    return (first?.count ?? 0) > 200 && (second?.count ?? 0) > 200 && third?.count === 0
  })
  process.kill(late, 'SIGCONT')
  await eventually(
    'the late engine mines its group',
    async () => groupsOf(await pocStatus(world))[2] === '2 of 3',
    30_000,
  )
  expect((await pocStatus(world)).status).toBe('GENERATING')
  await eventually('all groups arrive without a gap', () => hasGrown(world, [], 300), 30_000)
  expect(coverage(world, 3)).toMatchObject({ duplicates: 0, foreign: 0, nodeCount: api.round?.nodeCount })

  // An engine that does not answer: the others go on, and the round is whole again after it.
  const second = await whenPid(world, 1)
  process.kill(second, 'SIGSTOP')
  const mixed = await pocStatus(world)
  process.kill(second, 'SIGCONT')
  expect([mixed.status, mixed.backends.map(({ status }) => status)]).toEqual([
    'MIXED',
    ['GENERATING', 'ERROR', 'GENERATING'],
  ])
  const { groups } = coverage(world, 3)
  await eventually('all groups go on', () => hasGrown(world, groups, 200), 30_000)
  expect(coverage(world, 3)).toMatchObject({ duplicates: 0, foreign: 0 })
  expect((await enginePids(world)).slice(1)).toEqual([second, late])

  expect(Object.values(await startValidation(api))).toEqual([200])

  const verdict = await eventually('the verdict arrives', () => api.validated[0])
  expect(verdict).toMatchObject({ n_total: 64, n_mismatch: 0, fraud_detected: false, block_hash: api.round?.blockHash })
  await stopPoc(api)
  expect((await pocStatus(world)).status).toBe('IDLE')
})

test('one group of several is split among the engines, and stop ends it', { timeout: 120_000 }, async () => {
  const world = await startWorld({ gpus: 3, set })
  await world.untilRegistered()
  await eventually('three engines serve', async () => (await pocStatus(world)).backends.length === 3)
  // Somebody else's work: this broker would put it right.
  world.apiNode.world.abort.abort()
  const [entry] = world.apiNode.world.nodes.values()
  if (!entry) throw new Error('nothing is registered')
  const { url: _, ...init } = toInit(world.apiNode.world, entry)
  const begin = (more: object) => ask(`${world.node}/api/v1/pow/init/generate`, { body: { ...init, ...more } })

  expect((await begin({ group_id: 2, n_groups: 2 })).status).toBe(422)
  const began = await begin({ group_id: 1, n_groups: 2 })

  expect(began.status).toBe(200)
  expect(JSON.parse(began.text)).toMatchObject({ backends: 3, n_groups: 6, errors: null })
  const own = await Promise.all(
    (await world.engines()).map(async ({ port }) => {
      const { text } = await ask(`http://127.0.0.1:${port}/api/v1/pow/status`)
      return backend.parse({ port, ...(JSON.parse(text) as object) })
    }),
  )
  expect(groupsOf({ status: '', backends: own })).toEqual(['1 of 6', '3 of 6', '5 of 6'])
  expect(own.map((one) => [one.config?.node_id, one.config?.node_count])).toEqual(
    own.map(() => [init['node_id'], init['node_count']]),
  )
  expect(groupsOf(await pocStatus(world))).toEqual(['1 of 6', '3 of 6', '5 of 6'])
  // The caller's own group, not an engine's.
  expect(await pocStatus(world, '/api/v1/pow')).toMatchObject({ config: { group_id: 1, n_groups: 2 } })

  const stopped = await ask(`${world.node}/api/v1/pow/stop`, { method: 'POST' })

  expect(stopped.status).toBe(200)
  expect(JSON.parse(stopped.text)).toMatchObject({ status: 'OK', pow_status: { status: 'STOPPED' }, errors: null })
  expect(await pocStatus(world)).toMatchObject({ status: 'IDLE' })
  await world.untilPart('poc', 'has no round', ({ summary }) => summary === 'no round')
  expect((await pocStatus(world)).backends.map(({ status }) => status)).toEqual(['IDLE', 'IDLE', 'IDLE'])
})
