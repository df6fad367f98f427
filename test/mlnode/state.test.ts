// State, versions and stop, as clients of all generations ask for them.
import { request } from 'undici'
import { expect, test } from 'vitest'
import { call, createFleet, pocInit, serve, startEngine, startNode } from '../poc/world.ts'

const get = (url: string) => call(url, undefined, 'GET')

test('a node with nothing running is STOPPED and says no more', async () => {
  const fleet = createFleet(1)
  fleet.service.value = 'STOPPED'
  const { url } = await startNode({ fleet })
  expect(await get(`${url}/api/v1/state`)).toEqual({
    status: 200,
    body: {
      state: 'STOPPED',
      version: '1.2.3',
      poc_status: null,
      inference_healthy: null,
      loaded_model: null,
      poc_validation_inference: false,
    },
  })
})

test('a node whose model loads is INFERENCE without backends', async () => {
  const { url } = await startNode({ fleet: createFleet(1) })
  expect((await get(`${url}/api/v1/state`)).body).toMatchObject({
    state: 'INFERENCE',
    poc_status: 'NO_BACKENDS',
    inference_healthy: false,
    loaded_model: null,
  })
})

test('a node that serves names its model, its PoC status and what its engine can do', async () => {
  const fleet = createFleet(1)
  const { url } = await startNode({ fleet })
  serve(fleet, (await startEngine(0)).upstream)
  const idle = { state: 'INFERENCE', poc_status: 'IDLE', inference_healthy: true, loaded_model: 'test/model' }
  expect((await get(`${url}/api/v1/state`)).body).toEqual({ ...idle, version: '1.2.3', poc_validation_inference: true })
  await call(`${url}/api/v1/inference/pow/init/generate`, pocInit())
  expect((await get(`${url}/api/v1/state`)).body).toMatchObject({ poc_status: 'GENERATING' })
})

test('versions are known before an engine serves, as far as they are', async () => {
  const { url } = await startNode({ fleet: createFleet(1) })
  const versions = { version: '1.2.3', vllm_version: null, poc_validation_inference: false }
  expect(await get(`${url}/api/v1/versions`)).toEqual({ status: 200, body: versions })
})

test.each([
  ['nothing', undefined, {}],
  ['an empty object', '{}', { 'content-type': 'application/json' }],
  ['garbage of another type', 'a=b&%%', { 'content-type': 'application/x-www-form-urlencoded' }],
  ['half a JSON', '{"a":', {}],
])('stop and down take %s as a body', async (_name, body, headers) => {
  const fleet = createFleet(1)
  const { url } = await startNode({ fleet })
  for (const path of ['/api/v1/stop', '/api/v1/inference/down']) {
    const answer = await request(`${url}${path}`, { method: 'POST', headers, ...(body !== undefined && { body }) })
    expect([answer.statusCode, await answer.body.json()]).toEqual([200, { status: 'OK' }])
  }
  expect(fleet.calls).toEqual(['stop', 'stop'])
})

test('what the node does not have is 404 with a detail, and a wrong method 405', async () => {
  const { url } = await startNode({ fleet: createFleet(1) })
  // The throughput test was the AMI node's own: no engine has a route for it, and 18 min of it would cost a PoC phase.
  const throughput = '/api/v1/inference/pow/test/throughput'
  for (const path of ['/api/v1/train/start', '/api/v1/embed', '/identity', '/chat/completions', throughput])
    expect(await call(`${url}${path}`, {})).toEqual({ status: 404, body: { detail: 'Not Found' } })
  expect(await get(`${url}/api/v1/stop`)).toEqual({ status: 405, body: { detail: 'Method Not Allowed' } })
})
