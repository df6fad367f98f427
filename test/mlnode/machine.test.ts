// Probes, GPUs, clock and models.
import { signal } from '@preact/signals-core'
import { request } from 'undici'
import { expect, test } from 'vitest'
import { Refusal } from '../../src/core/errors.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import { renderNanoseconds } from '../../src/mlnode/clock.ts'
import type { ModelsOnDisk } from '../../src/models/models.ts'
import { call, createFleet, noModels, serve, startMute, startNode } from '../poc/world.ts'

const get = (url: string) => call(url, undefined, 'GET')
const gpu = {
  index: 0,
  uuid: 'GPU-1',
  name: 'NVIDIA H100 80GB HBM3',
  memoryTotalMiB: 81559,
  memoryFreeMiB: 1000,
  memoryUsedMiB: 80559,
  temperatureC: 40,
  mig: false,
}
const known: Inventory = { kind: 'known', gpus: [gpu], driverVersion: '570.86', cudaVersion: '12.8', at: new Date(0) }
const withGpus = (inventory: Inventory) => ({ inventory: signal(inventory) })

test('probes are healthy while a model loads, and tell the GPUs', async () => {
  const fleet = createFleet(1)
  fleet.status.value = { health: 'starting', summary: 'loading', since: new Date(0) }
  const { url } = await startNode({ fleet, deps: withGpus(known) })
  const device = {
    index: 0,
    name: gpu.name,
    total_memory_mb: 81559,
    free_memory_mb: 1000,
    used_memory_mb: 80559,
    temperature_c: 40,
    is_available: true,
  }
  const healthy = {
    status: 'healthy',
    service_state: 'INFERENCE',
    gpu: { available: true, count: 1, devices: [device] },
    managers: {
      pow: { running: false, healthy: true },
      inference: { running: true, healthy: true },
      train: { running: false, healthy: true },
    },
  }
  for (const path of ['/health', '/livez']) expect(await get(`${url}${path}`)).toEqual({ status: 200, body: healthy })
  expect(await get(`${url}/readyz`)).toEqual({ status: 200, body: { ready: true } })
  expect(await get(`${url}/api/v1/gpu/devices`)).toEqual({ status: 200, body: { devices: [device], count: 1 } })
  expect(await get(`${url}/api/v1/gpu/driver`)).toEqual({
    status: 200,
    body: { driver_version: '570.86', cuda_driver_version: '12.8', nvml_version: '12.570.86' },
  })
})

test('probes are unhealthy when inference failed, not ready only while it should run', async () => {
  const fleet = createFleet(1)
  fleet.status.value = { health: 'failed', summary: 'given up', since: new Date(0) }
  const { url } = await startNode({ fleet, deps: withGpus(known) })
  expect(await get(`${url}/health`)).toMatchObject({ status: 503, body: { status: 'unhealthy' } })
  expect(await get(`${url}/readyz`)).toEqual({ status: 503, body: { ready: false } })
  fleet.service.value = 'STOPPED'
  expect((await get(`${url}/readyz`)).status).toBe(200)
  expect((await get(`${url}/livez`)).status).toBe(200)
})

test('no GPU is unhealthy unless an engine serves without', async () => {
  const fleet = createFleet(1)
  const { url } = await startNode({ fleet, deps: withGpus({ kind: 'none', why: 'no nvidia-smi' }) })
  expect((await get(`${url}/health`)).status).toBe(503)
  expect(await get(`${url}/api/v1/gpu/devices`)).toEqual({ status: 200, body: { devices: [], count: 0 } })
  expect(await get(`${url}/api/v1/gpu/driver`)).toEqual({
    status: 503,
    body: { detail: 'no NVIDIA driver: no nvidia-smi' },
  })
  serve(fleet, await startMute(0))
  expect((await get(`${url}/health`)).status).toBe(200)
})

test('GPUs that are asked for before the driver answered are waited for', async () => {
  const inventory = signal<Inventory>({ kind: 'unknown' })
  const { url } = await startNode({ fleet: createFleet(1), deps: { inventory } })
  const answer = get(`${url}/api/v1/gpu/devices`)
  expect((await get(`${url}/health`)).status).toBe(200)
  inventory.value = known
  expect(await answer).toMatchObject({ body: { count: 1 } })
})

test('the clock answers with two times in nanoseconds and no body', async () => {
  const { url } = await startNode({ fleet: createFleet(1) })
  const before = BigInt(Date.now() - 5) * 1_000_000n
  const answer = await request(`${url}/api/v1/clock`)
  expect([answer.statusCode, await answer.body.text()]).toEqual([204, ''])
  const [received, sent] = ['x-server-recv-ns', 'x-server-send-ns'].map((name) => BigInt(String(answer.headers[name])))
  expect(received! >= before && sent! >= received!).toBe(true)
  expect(sent! < BigInt(Date.now() + 5) * 1_000_000n).toBe(true)
})

test('after a step of the wall clock it is the wall clock that counts', () => {
  expect(renderNanoseconds(1000, 1000.25)).toBe('1000250000')
  expect(renderNanoseconds(5000, 1000.25)).toBe('5000000000')
})

function models(over: Partial<ModelsOnDisk>) {
  return startNode({ fleet: createFleet(1), deps: { models: { ...noModels, ...over } } })
}
const body = { hf_repo: 'org/name', hf_commit: 'c'.repeat(40) }

test('the status of a model tells its progress and its error', async () => {
  const startedAt = new Date(Date.now() - 60_000)
  const { url } = await models({ status: async () => ({ status: 'DOWNLOADING', startedAt, error: 'shard 2 again' }) })
  const { body: answer } = await call(`${url}/api/v1/models/status`, body)
  expect(answer).toMatchObject({
    model: body,
    status: 'DOWNLOADING',
    progress: { start_time: startedAt.getTime() / 1000 },
    error_message: 'shard 2 again',
  })
  expect((answer as { progress: { elapsed_seconds: number } }).progress.elapsed_seconds).toBeGreaterThanOrEqual(59)
})

test('a download is accepted, ignored offline, or refused', async () => {
  const { url } = await models({ status: async () => ({ status: 'DOWNLOADING' }) })
  const accepted = await call(`${url}/api/v1/models/download`, { hf_repo: 'org/name' })
  const model = { hf_repo: 'org/name', hf_commit: null }
  expect(accepted).toEqual({ status: 202, body: { task_id: 'org/name:latest', status: 'DOWNLOADING', model } })

  const offline = await models({ download: async () => 'ignored' })
  expect(await call(`${offline.url}/api/v1/models/download`, body)).toEqual({
    status: 202,
    body: { task_id: `org/name:${body.hf_commit}:offline`, status: 'IGNORED', model: body },
  })
  for (const status of [400, 409, 429]) {
    const refusing = await models({ download: () => Promise.reject(new Refusal('model-x', status, 'no: reason')) })
    expect(await call(`${refusing.url}/api/v1/models/download`, body)).toEqual({
      status,
      body: { detail: 'no: reason' },
    })
  }
  expect((await call(`${url}/api/v1/models/download`, { hf_repo: ' ' })).status).toBe(422)
})

test('a model that engines serve or load is not deleted below them; one that was stopped is', async () => {
  const asked: (readonly string[])[] = []
  const fleet = createFleet(3)
  fleet.upstreams.value = (['serving', 'loading', 'parked'] as const).map(
    (state, slot) => new Upstream({ id: `engine-${slot}`, slot, port: 5001, model: 'org/name', hasPoc: true, state }),
  )
  const remove: ModelsOnDisk['remove'] = async (_ref, users = []) => {
    asked.push(users)
    return 'deleted'
  }
  const { url } = await startNode({ fleet, deps: { models: { ...noModels, remove } } })
  for (const repo of ['org/name', 'org/other']) await call(`${url}/api/v1/models`, { hf_repo: repo }, 'DELETE')
  expect(asked).toEqual([['engine 0 (serving)', 'engine 1 (loading)'], []])
})

test('models are listed, deleted and weighed', async () => {
  const { url } = await models({
    list: async () => [{ model: { repo: 'org/name' }, status: 'PARTIAL' }],
    remove: async ({ repo }) => {
      if (repo !== 'org/name') throw new Refusal('model-not-found', 404, `${repo} is not here`)
      return 'cancelled'
    },
    space: async () => ({ cacheBytes: 1.5 * 2 ** 30, availableBytes: 2 ** 40, path: '/data/hub' }),
  })
  expect(await get(`${url}/api/v1/models/list`)).toEqual({
    status: 200,
    body: { models: [{ model: { hf_repo: 'org/name', hf_commit: null }, status: 'PARTIAL' }] },
  })
  expect(await call(`${url}/api/v1/models`, body, 'DELETE')).toEqual({
    status: 200,
    body: { status: 'cancelled', model: body },
  })
  expect(await call(`${url}/api/v1/models`, { hf_repo: 'x/y' }, 'DELETE')).toEqual({
    status: 404,
    body: { detail: 'x/y is not here' },
  })
  expect(await get(`${url}/api/v1/models/space`)).toEqual({
    status: 200,
    body: { cache_size_gb: 1.5, available_gb: 1024, cache_path: '/data/hub' },
  })
})
