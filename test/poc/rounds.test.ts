// How rounds begin, clash and end, with real engines.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import {
  call,
  createFleet,
  type FakeFleet,
  model,
  pocInit,
  serve,
  startEngine,
  startMute,
  startNode,
  startPicky,
} from './world.ts'

const base = '/api/v1/inference/pow'

async function engineStatus(
  port: number,
): Promise<{ status: string; config?: { block_hash: string }; stats?: { total_processed: number } }> {
  return (await call(`http://127.0.0.1:${port}/api/v1/pow/status`, undefined, 'GET')).body as never
}

async function mining(knobs: Record<string, string>[] = [{}], fleet: FakeFleet = createFleet(knobs.length)) {
  const node = await startNode({ fleet })
  const engines = await Promise.all(knobs.map((one, slot) => startEngine(slot, one)))
  for (const { upstream } of engines) serve(fleet, upstream)
  const ports = engines.map(({ upstream }) => upstream.port)
  const init = (more = {}) => call(`${node.url}${base}/init/generate`, pocInit(more))
  return { node, fleet, engines, ports, port: ports[0] ?? 0, init }
}

test('the same init again changes nothing and is fine', async () => {
  const { init, port } = await mining()
  const first = await init()
  const before = await eventually('it computes', async () => (await engineStatus(port)).stats?.total_processed)
  expect(await init()).toEqual(first)
  expect((await engineStatus(port)).stats?.total_processed).toBeGreaterThanOrEqual(before)
})

test('an engine that mines this very group already, started by nobody we know, is fine', async () => {
  const { init, port } = await mining()
  await call(`http://127.0.0.1:${port}/api/v1/pow/init/generate`, pocInit({ group_id: 0, n_groups: 1 }))
  expect(await init()).toMatchObject({ status: 200, body: { backends: 1, errors: null } })
})

test('a new block replaces the round', async () => {
  const { init, port } = await mining()
  await init()
  expect(await init({ block_hash: 'next', block_height: 1001 })).toMatchObject({ status: 200, body: { errors: null } })
  expect(await engineStatus(port)).toMatchObject({ status: 'GENERATING', config: { block_hash: 'next' } })
})

test('another owner does not get a block that is being mined', async () => {
  const { init, port, node } = await mining()
  await init()
  const other = await init({ public_key: 'somebody else' })
  const error = 'Already generating for node_id 3, public_key key, block 1000'
  expect(other).toEqual({ status: 502, body: { detail: { errors: [{ port, error }] } } })
  const direct = await call(`${node.url}/api/v1/pow/init/generate`, pocInit({ node_id: 4 }))
  expect(direct).toEqual({ status: 409, body: { detail: error } })
  expect(await engineStatus(port)).toMatchObject({ config: { block_hash: 'abc123' } })
})

test('parameters that every engine refuses are a problem, until the right ones come', async () => {
  const { init, port, node } = await mining()
  const wrong = { params: { model: 'other/model', seq_len: 64, k_dim: 12 } }
  const refused = await init(wrong)
  expect(refused.status).toBe(502)
  const { errors } = (refused.body as { detail: { errors: { port: number; error: string }[] } }).detail
  expect(errors).toEqual([{ port, error: expect.stringContaining('params mismatch') as string }])
  await eventually('it is said', () => node.poc.status.peek().problem?.code === 'poc-init-refused')
  expect(node.poc.status.peek().health).toBe('degraded')
  const direct = await call(`${node.url}/api/v1/pow/init/generate`, pocInit(wrong))
  expect(direct).toMatchObject({ status: 409, body: { detail: { error: 'params mismatch' } } })
  expect((await init()).status).toBe(200)
  await eventually('all is well', () => node.poc.status.peek().health === 'ok')
})

test('an init that every engine refuses, or that comes too late, costs the round that is mined nothing', async () => {
  const { init, ports, port, node } = await mining([{}, {}])
  expect((await init()).status).toBe(200)
  const [round, before] = await eventually('it computes', async () => {
    const total = (await engineStatus(port)).stats?.total_processed
    return total ? ([node.poc.round.peek(), total] as const) : undefined
  })
  const wrong = { block_hash: 'next', block_height: 1001, params: { model: 'other/model', seq_len: 64, k_dim: 12 } }
  const error = expect.stringContaining('params mismatch') as string
  const refused = ports.map((one) => ({ port: one, error }))
  expect(await init(wrong)).toEqual({ status: 502, body: { detail: { errors: refused } } })
  const direct = await call(`${node.url}/api/v1/pow/init/generate`, pocInit(wrong))
  expect(direct).toMatchObject({ status: 409, body: { detail: { error: 'params mismatch' } } })
  const stale = await init({ block_hash: 'before', block_height: 999 })
  expect(stale).toMatchObject({ status: 502, body: { detail: { errors: [{ port: ports[0] }, { port: ports[1] }] } } })

  expect(node.poc.round.peek()).toBe(round)
  await eventually('all is well', () => node.poc.status.peek().health === 'ok')
  for (const one of ports)
    expect(await engineStatus(one)).toMatchObject({ status: 'GENERATING', config: { block_hash: 'abc123' } })
  // It was never stopped: its count went on.
  expect((await engineStatus(port)).stats?.total_processed).toBeGreaterThanOrEqual(before)
  expect(await init({ block_hash: 'next', block_height: 1001 })).toMatchObject({ status: 200, body: { errors: null } })
  await node.end('restart')
  expect((await engineStatus(port)).config?.block_hash).toBe('next')
})

test('an engine that refuses the round which others take does not go on with the one before', async () => {
  const { init, fleet, node } = await mining([{}], createFleet(2))
  const picky = await startPicky(1, (body) => body.block_height === 1000)
  serve(fleet, picky.upstream)
  expect(await init()).toMatchObject({ status: 200, body: { backends: 2 } })
  const next = await init({ block_hash: 'next', block_height: 1001 })
  expect(next).toMatchObject({ status: 200, body: { backends: 1, errors: [{ port: picky.upstream.port }] } })
  await eventually('it was stopped', () => picky.mines() === undefined)
  expect(node.poc.round.peek()?.request.block_hash).toBe('next')
})

test('an init that every engine fails is repeated until it is taken, also when it is asked for again', async () => {
  const fleet = createFleet(1)
  const node = await startNode({ fleet })
  let fails = 3
  const picky = await startPicky(0, () => fails-- <= 0, 503)
  serve(fleet, picky.upstream)
  const init = () => call(`${node.url}${base}/init/generate`, pocInit())
  const { port } = picky.upstream
  const errors = [{ port, error: '{"detail":"not now"}' }]
  expect(await init()).toEqual({ status: 502, body: { detail: { errors } } })
  await eventually('it is said', () => node.poc.status.peek().problem?.code === 'poc-init-failed')
  expect(await init()).toMatchObject({ status: 502 })
  await eventually('it mines', () => picky.mines() && node.poc.status.peek().health === 'ok')
  const asked = picky.inits()
  expect(await init()).toMatchObject({ status: 200, body: { backends: 1, errors: null } })
  expect(picky.inits()).toBe(asked)
})

test('a round goes on while an ordered model is only being fetched, and ends with the engines', async () => {
  const { init, fleet, port, node, engines } = await mining()
  await init()
  const { planned } = fleet
  const [before] = [planned.peek()]
  planned.value = undefined
  planned.value = before
  planned.value = undefined
  expect(node.poc.round.peek()).toBeDefined()
  expect((await engineStatus(port)).status).toBe('GENERATING')
  engines[0]!.upstream.state.value = 'ending'
  expect(node.poc.round.peek()).toBeUndefined()
})

test('a partial failure is a success that lists what failed, and the engine is asked again', async () => {
  const { init, ports, node } = await mining([{}, { REHEARSAL_POC_REFUSE: '503' }])
  expect(await init()).toEqual({
    status: 200,
    body: {
      status: 'OK',
      backends: 1,
      n_groups: 2,
      results: [{ port: ports[0], status: 'OK' }],
      errors: [{ port: ports[1], error: '{"detail":"Engine not available"}' }],
    },
  })
  const status = await call(`${node.url}${base}/status`, undefined, 'GET')
  expect(status.body).toMatchObject({
    status: 'MIXED',
    backends: [{ port: ports[0] }, { port: ports[1], status: 'IDLE' }],
  })
  await eventually('it is a problem', () => node.poc.status.peek().problem?.code === 'poc-init-failed')
  expect(node.poc.status.peek().health).toBe('degraded')
})

test('when no engine serves an init is refused with 503, and an old round does not come back', async () => {
  const { init, fleet, engines, node } = await mining()
  await init()
  const [engine] = engines
  engine!.upstream.state.value = 'ending'
  expect(await init()).toEqual({ status: 503, body: { detail: 'No vLLM backends available' } })
  expect(node.poc.round.peek()).toBeDefined()
  expect((await init({ block_hash: 'next' })).status).toBe(503)
  expect(node.poc.round.peek()).toBeUndefined()
  expect(await call(`${node.url}${base}/status`, undefined, 'GET')).toMatchObject({
    body: { status: 'NO_BACKENDS', backends: [] },
  })
  expect(await call(`${node.url}${base}/stop`, {})).toEqual({
    status: 200,
    body: { status: 'OK', message: 'No backends to stop' },
  })
  fleet.upstreams.value = []
})

test('a stop ends the round on the engines and on disk', async () => {
  const { init, ports, node } = await mining([{}, {}])
  await init()
  await eventually('the round is on disk', () => existsSync(join(node.stateDir, 'poc-round.json')))
  expect(await call(`${node.url}${base}/stop`, {})).toEqual({
    status: 200,
    body: { status: 'OK', results: ports.map((port) => ({ port, status: 'stopped' })), errors: null },
  })
  for (const port of ports) expect((await engineStatus(port)).status).toBe('IDLE')
  await node.end('restart')
  expect(readdirSync(node.stateDir).filter((name) => name.startsWith('poc-round'))).toEqual([])
})

test('parked engines stop mining, and the round does not come back with them', async () => {
  const { init, port, engines, node } = await mining()
  await init()
  engines[0]!.upstream.state.value = 'parked'
  await eventually('it is idle', async () => (await engineStatus(port)).status === 'IDLE')
  engines[0]!.upstream.state.value = 'serving'
  expect(node.poc.round.peek()).toBeUndefined()
})

test('another planned model ends the round', async () => {
  const { init, fleet, port, node } = await mining()
  await init()
  fleet.planned.value = { model: 'other/model', instances: 1, gpusPerEngine: 1, hasPoc: true, owner: 'broker' }
  await eventually('it is idle', async () => (await engineStatus(port)).status === 'IDLE')
  expect(node.poc.round.peek()).toBeUndefined()
  expect(fleet.planned.peek()?.model).not.toBe(model)
})

test('a round does not survive a reboot', async () => {
  const { init, fleet, node } = await mining()
  await init()
  await node.end('restart')
  const later = await startNode({ fleet, stateDir: node.stateDir, bootId: 'another boot' })
  await call(`${later.url}${base}/status`, undefined, 'GET')
  expect(later.poc.round.peek()).toBeUndefined()
})

test('a stop of the daemon stops mining, a restart does not', async () => {
  const { init, fleet, port, node } = await mining()
  await init()
  await node.end('restart')
  expect((await engineStatus(port)).status).toBe('GENERATING')
  const next = await startNode({ fleet, stateDir: node.stateDir })
  await eventually('the round goes on', () => next.poc.round.peek())
  await next.end('stop')
  expect((await engineStatus(port)).status).toBe('IDLE')
})

test('an engine that hangs makes nobody else hang', async () => {
  const { node, fleet, port } = await mining([{}], createFleet(2))
  const mute = await startMute(1)
  serve(fleet, mute)
  const times: number[] = []
  const timed = async (path: string, body?: object) => {
    const began = performance.now()
    const answer = await call(`${node.url}${path}`, body, body ? 'POST' : 'GET')
    times.push(performance.now() - began)
    return answer
  }
  const state = await timed('/api/v1/state')
  const status = await timed(`${base}/status`)
  const first = await timed(`${base}/init/generate`, pocInit())
  const stopped = await timed(`${base}/stop`, {})
  // 5 s are promised; the rest is for a busy test machine.
  expect(Math.max(...times)).toBeLessThan(8000)
  expect(state).toMatchObject({ status: 200, body: { poc_status: 'IDLE', inference_healthy: true } })
  expect(status.body).toMatchObject({ status: 'MIXED', backends: [{ port }, { port: mute.port, status: 'ERROR' }] })
  expect(first.body).toMatchObject({
    backends: 1,
    errors: [{ port: mute.port, error: expect.stringMatching(/no answer/) as string }],
  })
  expect(stopped.body).toMatchObject({ results: [{ port }], errors: [{ port: mute.port }] })
})

test('a disk that refuses is a problem', async () => {
  const fleet = createFleet(1)
  // Not even root writes below a file.
  const node = await startNode({ fleet, stateDir: join(import.meta.filename, 'below') })
  serve(fleet, (await startEngine(0)).upstream)
  const init = await call(`${node.url}${base}/init/generate`, pocInit({ url: 'http://127.0.0.1:9/v2' }))
  expect(init.status).toBe(200)
  await eventually('it is said', () => node.poc.status.peek().problem?.code === 'poc-round-not-saved')
})
