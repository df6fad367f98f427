// Bodies of PoC: what passes, what is refused, and PoW v1 below the same path.
import { expect, test } from 'vitest'
import { pocInit as schema } from '../../src/api/mlnode-poc.ts'
import { call, createFleet, pocInit, serve, startEngine, startNode } from '../poc/world.ts'

const init = '/api/v1/inference/pow/init/generate'

const { params, ...withoutParams } = pocInit()
test.each([
  ['params missing', withoutParams, { type: 'missing', loc: ['body', 'params'] }],
  [
    'an unknown parameter',
    pocInit({ params: { ...params, x: 1 } }),
    { type: 'extra_forbidden', loc: ['body', 'params', 'x'] },
  ],
  ['a text for a number', pocInit({ block_height: 'high' }), { type: 'int_parsing', loc: ['body', 'block_height'] }],
  ['a list for a number', pocInit({ block_height: [] }), { type: 'int_type', loc: ['body', 'block_height'] }],
  ['a part of a number', pocInit({ node_id: 1.5 }), { type: 'int_from_float', loc: ['body', 'node_id'] }],
  [
    'no nodes',
    pocInit({ node_count: 0 }),
    {
      type: 'greater_than',
      loc: ['body', 'node_count'],
      msg: 'Input should be greater than 0',
      input: 0,
      ctx: { gt: 0 },
    },
  ],
  [
    'no length',
    pocInit({ params: { ...params, seq_len: null } }),
    { type: 'int_type', loc: ['body', 'params', 'seq_len'] },
  ],
  ['a url that is none', pocInit({ url: 'ftp://x' }), { loc: ['body', 'url'] }],
])('an init with %s is 422', async (_name, body, complaint) => {
  const { url } = await startNode({ fleet: createFleet(1) })
  expect(await call(`${url}${init}`, body)).toMatchObject({ status: 422, body: { detail: [complaint] } })
})

test('numbers and booleans are taken in the spellings that pydantic takes, and reach the engine as what they are', () => {
  const {
    block_height,
    node_id,
    node_count,
    poc_stronger_rng,
    params: read,
  } = schema.parse(
    pocInit({
      block_height: '5',
      node_id: ' 7 ',
      node_count: '2.0',
      poc_stronger_rng: 'yes',
      params: { ...params, k_dim: '12' },
    }),
  )
  expect({ block_height, node_id, node_count, poc_stronger_rng, k_dim: read.k_dim }).toEqual({
    block_height: 5,
    node_id: 7,
    node_count: 2,
    poc_stronger_rng: true,
    k_dim: 12,
  })
})

test('fields that nobody knows, and those of the newest clients, pass', async () => {
  const fleet = createFleet(1)
  const { url } = await startNode({ fleet })
  serve(fleet, (await startEngine(0)).upstream)
  const newest = pocInit({
    future: true,
    url: null,
    params: { ...params, decode: false, max_tokens: 0, scheme: 'prefill' },
  })
  expect(await call(`${url}${init}`, newest)).toMatchObject({ status: 200, body: { errors: null } })
  const withoutUrl = pocInit({ url: '' })
  expect(await call(`${url}${init}`, withoutUrl)).toMatchObject({ status: 200, body: { errors: null } })
})

test.each(['/pow/init', '/pow/init/validate', '/pow/phase/generate', '/pow/phase/validate', '/pow/validate'])(
  'PoW v1 at %s is refused and says why',
  async (path) => {
    const fleet = createFleet(1)
    const { url } = await startNode({ fleet })
    const running = await call(`${url}/api/v1${path}`, { r_target: 1.4 })
    expect(running.status).toBe(409)
    expect((running.body as { detail: string }).detail).toMatch(
      /^Cannot run POW because MLNode is currently in INFERENCE mode\. PoW v1 was removed; use PoC v2 at/,
    )
    fleet.service.value = 'STOPPED'
    expect(await call(`${url}/api/v1${path}`)).toMatchObject({
      status: 409,
      body: { detail: expect.stringMatching(/^Cannot run POW on this/) as string },
    })
  },
)

test('an init of PoW v1 and one of v2 are told apart by their bodies', async () => {
  const fleet = createFleet(1)
  const { url } = await startNode({ fleet })
  const v1 = {
    node_id: 1,
    node_count: 2,
    block_hash: 'x',
    block_height: 1,
    public_key: 'k',
    batch_size: 1,
    r_target: 1.4,
    params: {},
  }
  const path = `${url}/api/v1/pow/init/generate`
  expect((await call(path, v1)).status).toBe(409)
  expect(await call(path, pocInit())).toEqual({ status: 503, body: { detail: 'No vLLM backends available' } })
  expect(await call(path, pocInit({ group_id: 2, n_groups: 2 }))).toMatchObject({
    status: 422,
    body: { detail: [{ loc: ['body', 'group_id'], msg: 'must be less than n_groups' }] },
  })
  expect(await call(`${url}/api/v1/pow/status`, undefined, 'GET')).toEqual({
    status: 200,
    body: { status: 'NO_BACKENDS', is_model_initialized: false, config: null, stats: null, backends: [] },
  })
  const stopped = { status: 'OK', message: 'No backends to stop', pow_status: { status: 'STOPPED' } }
  expect(await call(`${url}/api/v1/pow/stop`)).toEqual({ status: 200, body: stopped })
})
