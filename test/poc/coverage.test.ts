// D7: the union of the engines' nonces is exactly what was asked for, without a nonce twice, on good days and bad ones.
import { expect, test } from 'vitest'
import { renderVector } from '../../src/rehearsal/engine-vectors.ts'
import { eventually } from '../support/eventually.ts'
import { type Batch, call, createFleet, pocInit, serve, startCollector, startEngine, startNode } from './world.ts'

const base = '/api/v1/inference/pow'

/** Positions in the caller's own sequence node_id + position * node_count, in order of arrival. */
function positions(batches: readonly Batch[], share = { group: 0, of: 1 }): number[] {
  const { node_id, node_count } = pocInit()
  return batches
    .flatMap((batch) => noncesOf(batch))
    .map((nonce) => {
      const step = (nonce - node_id - share.group * node_count) / (node_count * share.of)
      expect(Number.isInteger(step)).toBe(true)
      return step
    })
}

const known = new WeakMap<Batch, number[]>()

/** Nonces of a batch whose vectors were computed honestly. */
function noncesOf(batch: Batch): number[] {
  const artifacts = batch.body.artifacts ?? []
  const { block_hash, public_key } = pocInit()
  if (!known.has(batch)) {
    for (const { nonce, vector_b64 } of artifacts)
      expect(vector_b64).toBe(renderVector({ blockHash: block_hash, publicKey: public_key, nonce, kDim: 12 }))
    known.set(
      batch,
      artifacts.map((one) => one.nonce),
    )
  }
  return known.get(batch) ?? []
}

/** No position twice; each group without a gap from its first. Returns how far every group has come. */
function expectCover(found: readonly number[], groups: number): number {
  expect(new Set(found).size).toBe(found.length)
  const frontiers = Array.from({ length: groups }, (_, group) => {
    const mine = found.filter((one) => one % groups === group).sort((a, b) => a - b)
    expect(mine).toEqual(mine.map((_one, at) => group + at * groups))
    return mine.length
  })
  return Math.min(...frontiers)
}

test.each([1, 2, 3])('%i engines mine disjoint groups without a gap', async (count) => {
  const fleet = createFleet(count)
  const collector = await startCollector()
  const node = await startNode({ fleet })
  const engines = await Promise.all(Array.from({ length: count }, (_, slot) => startEngine(slot)))
  for (const { upstream } of engines) serve(fleet, upstream)

  const init = await call(`${node.url}${base}/init/generate`, pocInit({ url: collector.url }))

  const ports = engines.map(({ upstream }) => upstream.port)
  expect(init).toEqual({
    status: 200,
    body: {
      status: 'OK',
      backends: count,
      n_groups: count,
      results: ports.map((port) => ({ port, status: 'OK' })),
      errors: null,
    },
  })
  await eventually('every group delivered', () => expectCover(positions(collector.batches), count) > 40)
  expect(collector.batches[0]?.url).toBe('/v2/poc-batches/test%252Fmodel/generated')
  const parts = await eventually('the relay has counted', () => {
    const all = node.poc.parts?.value ?? []
    return all.every((part) => part.health === 'ok' && !/ 0 batches/.test(part.summary)) && all
  })
  expect(parts).toHaveLength(count)
})

test('the share of a caller that splits the work itself is split further', async () => {
  const fleet = createFleet(2)
  const collector = await startCollector()
  const node = await startNode({ fleet })
  for (const slot of [0, 1]) serve(fleet, (await startEngine(slot)).upstream)

  const init = await call(
    `${node.url}/api/v1/pow/init/generate`,
    pocInit({ url: collector.url, group_id: 1, n_groups: 3 }),
  )

  expect(init.body).toMatchObject({ status: 'OK', pow_status: { status: 'GENERATING' }, n_groups: 6, backends: 2 })
  await eventually('both delivered', () => expectCover(positions(collector.batches, { group: 1, of: 3 }), 2) > 20)
  const status = await call(`${node.url}/api/v1/pow/status`, undefined, 'GET')
  expect(status.body).toMatchObject({
    status: 'GENERATING',
    is_model_initialized: true,
    config: { group_id: 1, n_groups: 3, node_id: 3 },
  })
})

test('an engine that comes late takes the group that was reserved for it, at once', async () => {
  const fleet = createFleet(2)
  const collector = await startCollector()
  // Nothing but the engine's coming can wake it.
  const node = await startNode({ fleet, pace: { look: 60_000 } })
  const [first, late] = await Promise.all([startEngine(0), startEngine(1)])
  serve(fleet, first.upstream)
  fleet.upstreams.value = [first.upstream, late.upstream]

  const init = await call(`${node.url}${base}/init/generate`, pocInit({ url: collector.url }))
  expect(init.body).toMatchObject({ backends: 1, n_groups: 2, errors: null })
  await eventually('the first delivers', () => collector.batches.length > 1)
  late.upstream.state.value = 'serving'

  await eventually('both groups delivered', () => expectCover(positions(collector.batches), 2) > 20)
})

test('an engine that crashed takes its group again when it is back', async () => {
  const fleet = createFleet(2)
  const collector = await startCollector()
  const node = await startNode({ fleet })
  const [stays, dies] = await Promise.all([startEngine(0), startEngine(1)])
  for (const { upstream } of [stays, dies]) serve(fleet, upstream)
  await call(`${node.url}${base}/init/generate`, pocInit({ url: collector.url }))
  await eventually('both delivered', () => expectCover(positions(collector.batches), 2) > 8)

  dies.upstream.state.value = 'gone'
  fleet.upstreams.value = [stays.upstream]
  await dies.kill()
  serve(fleet, (await startEngine(1)).upstream)

  // It begins at the first nonce of its group again: the engine knows no other way.
  const again = () => positions(collector.batches).filter((one) => one === 1).length > 1
  await eventually('its group begins anew', again)
  expect(expectCover([...new Set(positions(collector.batches))], 2)).toBeGreaterThan(8)
})

test('a restarted daemon goes on with the round, and a late engine still gets its group', async () => {
  const fleet = createFleet(2)
  const collector = await startCollector()
  const first = await startNode({ fleet })
  const [early, late] = await Promise.all([startEngine(0), startEngine(1)])
  serve(fleet, early.upstream)
  await call(`${first.url}${base}/init/generate`, pocInit({ url: collector.url }))
  await eventually('batches arrive', () => collector.batches.length > 1)

  await first.end('restart')
  const again = createFleet(2)
  // The plan is not known yet when the daemon starts.
  again.planned.value = undefined
  const second = await startNode({ fleet: again, stateDir: first.stateDir, port: Number(new URL(first.url).port) })
  serve(again, early.upstream)
  again.planned.value = fleet.planned.peek()
  serve(again, late.upstream)

  // A batch whose answer was lost with the first daemon is sent twice.
  const found = () => [...new Set(positions(collector.batches))]
  await eventually('both groups delivered', () => expectCover(found(), 2) > 20)
  expect(second.poc.round.peek()?.engines).toBe(2)
})
