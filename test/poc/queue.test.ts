// One-off work: generate and validate given nonces, and fetch what was queued.
import { expect, test } from 'vitest'
import { renderVector } from '../../src/rehearsal/engine-vectors.ts'
import { eventually } from '../support/eventually.ts'
import { call, createFleet, pocInit, serve, startEngine, startNode } from './world.ts'

const base = '/api/v1/inference/pow'

async function world(count = 1, knobs = {}) {
  const fleet = createFleet(count)
  const node = await startNode({ fleet })
  const engines = await Promise.all(Array.from({ length: count }, (_, slot) => startEngine(slot, knobs)))
  for (const { upstream } of engines) serve(fleet, upstream)
  const generate = (more: object) => call(`${node.url}${base}/generate`, { ...pocInit(), nonces: [1, 2], ...more })
  return { node, engines, generate, port: engines[0]!.upstream.port }
}

const vector = (nonce: number) => renderVector({ blockHash: 'abc123', publicKey: 'key', nonce, kDim: 12 })

test('wait answers with the artifacts', async () => {
  const { generate } = await world()
  const artifacts = [1, 2].map((nonce) => ({ nonce, vector_b64: vector(nonce) }))
  expect(await generate({ wait: true })).toMatchObject({ status: 200, body: { status: 'completed', artifacts } })
})

test('queued work is found again by port and id', async () => {
  const { generate, node, port } = await world()
  const artifacts = [1, 2].map((nonce) => ({ nonce, vector_b64: vector(nonce) }))
  const queued = await generate({ validation: { artifacts }, stat_test: { p_value_threshold: 0.05 } })
  const { request_id: id } = queued.body as { request_id: string }
  expect(queued.body).toMatchObject({ status: 'queued', queued_count: 2 })
  expect(id).toMatch(new RegExp(`^${port}:[0-9a-f-]{36}$`))
  const done = await eventually('it is done', async () => {
    const answer = await call(`${node.url}${base}/generate/${id}`, undefined, 'GET')
    return (answer.body as { status: string }).status === 'completed' ? answer : undefined
  })
  expect(done.body).toMatchObject({ request_id: id, n_total: 2, fraud_detected: false })
})

test.each([
  ['no colon', 'abc', 400, 'Invalid request_id format (expected port:uuid)'],
  ['no port', 'abc:def', 400, 'Invalid port in request_id'],
  ['a port that is none of our engines', '22:def', 404, 'Request not found'],
])('a result id with %s is refused', async (_name, id, status, detail) => {
  const node = await startNode({ fleet: createFleet(1) })
  expect(await call(`${node.url}${base}/generate/${id}`, undefined, 'GET')).toEqual({ status, body: { detail } })
})

test('an unknown id of a live engine is 404', async () => {
  const { node, port } = await world()
  const answer = await call(`${node.url}${base}/generate/${port}:nothing`, undefined, 'GET')
  expect(answer).toEqual({ status: 404, body: { detail: 'Request not found' } })
})

test('what the engine refuses comes through with its status and text', async () => {
  const { generate } = await world(1, { POC_MAX_QUEUED_NONCES: '1' })
  expect(await generate({})).toEqual({
    status: 429,
    body: { detail: '{"detail":"Queue full: 0 nonces queued, limit is 1"}' },
  })
  const artifacts = [{ nonce: 9, vector_b64: vector(9) }]
  expect((await generate({ nonces: [1], validation: { artifacts } })).status).toBe(400)
})

test('no engine: 503; an engine that went away: 502', async () => {
  const { generate, engines, node } = await world()
  await engines[0]!.kill()
  expect(await generate({})).toMatchObject({
    status: 502,
    body: { detail: expect.stringContaining('POST /api/v1/pow/generate') as string },
  })
  engines[0]!.upstream.state.value = 'gone'
  expect(await generate({})).toEqual({ status: 503, body: { detail: 'No vLLM backends available' } })
  expect((await call(`${node.url}${base}/versions`, undefined, 'GET')).status).toBe(503)
})

test('versions come from the engine', async () => {
  const { node } = await world()
  const expected = { version: '1.2.3', vllm_version: expect.any(String) as string, poc_validation_inference: true }
  expect((await call(`${node.url}${base}/versions`, undefined, 'GET')).body).toEqual(expected)
  expect((await call(`${node.url}/api/v1/versions`, undefined, 'GET')).body).toEqual(expected)
})
