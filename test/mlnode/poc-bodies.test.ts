// Bodies of PoC: what passes, what is refused, and PoW v1 below the same path.
import { expect, test } from 'vitest'
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
  ['a text for a number', pocInit({ block_height: 'high' }), { loc: ['body', 'block_height'] }],
  ['no nodes', pocInit({ node_count: 0 }), { loc: ['body', 'node_count'] }],
  ['a url that is none', pocInit({ url: 'ftp://x' }), { loc: ['body', 'url'] }],
])('an init with %s is 422', async (_name, body, complaint) => {
  const { url } = await startNode({ fleet: createFleet(1) })
  expect(await call(`${url}${init}`, body)).toMatchObject({ status: 422, body: { detail: [complaint] } })
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
