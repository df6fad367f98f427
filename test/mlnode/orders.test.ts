// The broker's up: what it may say, what it is answered, and what happens when it hangs up.
import { expect, test } from 'vitest'
import { Refusal } from '../../src/core/errors.ts'
import type { UpOrder } from '../../src/fleet/orders.ts'
import { eventually } from '../support/eventually.ts'
import { call, createFleet, startNode } from '../poc/world.ts'

const order = { model: 'test/model', dtype: 'auto', additional_args: ['--max-model-len', '4096'] }

async function world() {
  const fleet = createFleet(1)
  const node = await startNode({ fleet })
  const up = (body: unknown) => call(`${node.url}/api/v1/inference/up`, body)
  const upAsync = (body: unknown) => call(`${node.url}/api/v1/inference/up/async`, body)
  return { fleet, node, up, upAsync }
}

test('up waits for the whole load', async () => {
  const { fleet, up } = await world()
  const seen: UpOrder[] = []
  let finish = () => {}
  fleet.orders.up = (told) => {
    seen.push(told)
    return new Promise((resolve) => {
      finish = resolve
    })
  }
  let answered = false
  const answer = up({ ...order, some_new_field: 1 }).finally(() => {
    answered = true
  })
  await eventually('it was ordered', () => seen.length === 1)
  expect(answered).toBe(false)
  finish()
  expect(await answer).toEqual({ status: 200, body: { status: 'OK' } })
  expect(seen).toEqual([{ model: 'test/model', dtype: 'auto', additionalArgs: ['--max-model-len', '4096'] }])
})

test.each([
  ['absent', {}],
  ['null, as Go writes an empty list', { additional_args: null }],
])('arguments that are %s are none', async (_name, given) => {
  const { fleet, up } = await world()
  const seen: UpOrder[] = []
  fleet.orders.up = async (told) => void seen.push(told)
  expect((await up({ model: 'm', dtype: 'auto', ...given })).status).toBe(200)
  expect(seen).toEqual([{ model: 'm', dtype: 'auto', additionalArgs: [] }])
})

test('a caller that hangs up is noticed', async () => {
  const { fleet, node } = await world()
  const seen: AbortSignal[] = []
  fleet.orders.up = (_told, caller) => {
    seen.push(caller)
    return new Promise((_resolve, reject) => caller.addEventListener('abort', () => reject(caller.reason as Error)))
  }
  const leaving = new AbortController()
  const answer = fetch(`${node.url}/api/v1/inference/up`, {
    method: 'POST',
    body: JSON.stringify(order),
    signal: leaving.signal,
  }).catch(() => 'left')
  await eventually('it was ordered', () => seen.length === 1)
  leaving.abort()
  expect(await answer).toBe('left')
  await eventually('the order is told', () => seen[0]?.aborted)
  expect((await call(`${node.url}/readyz`, undefined, 'GET')).status).toBe(200)
})

test.each([
  [
    'another model is starting',
    new Refusal('startup-in-progress', 409, 'cannot start b: a is starting', { remedy: 'wait for it' }),
    409,
    'cannot start b: a is starting. wait for it; check its progress with /api/v1/inference/up/status',
  ],
  [
    'API nodes disagree',
    new Refusal('orders-conflict', 409, 'orders conflict: a and b'),
    409,
    'orders conflict: a and b',
  ],
  [
    'it is impossible',
    new Refusal('impossible-order', 400, 'tp 8 does not fit on 4 GPUs'),
    400,
    'tp 8 does not fit on 4 GPUs',
  ],
  ['the engine fails', new Error('engine exited with 1'), 500, 'engine exited with 1'],
])('when %s both ups say so', async (_name, error, status, detail) => {
  const { fleet, up, upAsync } = await world()
  fleet.orders.up = () => Promise.reject(error)
  fleet.orders.upAsync = () => Promise.reject(error)
  expect(await up(order)).toEqual({ status, body: { detail } })
  expect(await upAsync(order)).toEqual({ status, body: { detail } })
})

test('up/async answers at once, up/status tells how far it is', async () => {
  const { fleet, node, upAsync } = await world()
  expect(await upAsync(order)).toEqual({
    status: 200,
    body: { status: 'starting', message: 'test/model is starting; poll /api/v1/inference/up/status' },
  })
  const status = () => call(`${node.url}/api/v1/inference/up/status`, undefined, 'GET')
  expect((await status()).body).toEqual({
    status: 'not_started',
    is_starting: false,
    is_running: false,
    elapsed_seconds: null,
    error: null,
  })
  fleet.upStatus.value = {
    status: 'failed',
    isStarting: false,
    isRunning: false,
    elapsedSeconds: 1.5,
    error: 'out of memory',
  }
  expect((await status()).body).toMatchObject({ status: 'failed', elapsed_seconds: 1.5, error: 'out of memory' })
})

test.each([
  ['no body', undefined, [{ type: expect.any(String) as string, loc: ['body'] }]],
  ['no model', { dtype: 'auto' }, [{ type: 'missing', loc: ['body', 'model'], msg: 'Field required' }]],
  [
    'arguments that are no texts',
    { ...order, additional_args: [1] },
    [{ type: 'string_type', loc: ['body', 'additional_args', 0] }],
  ],
  ['a list', [], [{ loc: ['body'] }]],
])('up with %s is 422 with a list', async (_name, body, detail) => {
  const { up } = await world()
  expect(await up(body)).toMatchObject({ status: 422, body: { detail } })
})
