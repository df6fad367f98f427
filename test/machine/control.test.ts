// The launch service over REST on a machine whose own model has one GPU, from the first request of a launch to the last.
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LaunchResponse, LogsResponse } from '../../src/api/launches.ts'
import { ask as askSocket } from '../../src/cli/socket-client.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld } from './world.ts'

const key = 'schlüssel'
const model = 'rehearsal/tiny-1b'
/** As fetch sends it: text beyond ASCII is not allowed in a header, its bytes are. */
const authorization = `Bearer ${Buffer.from(key).toString('latin1')}`
const patience = 60_000

/** Stands alone: a broker would start again what an operator stops. */
const alone = { API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '' }

async function startControl() {
  const world = await startWorld({
    set: { ...alone, NODE_GPUS: '0' },
    environment: { CUDA_VISIBLE_DEVICES: '0,1' },
    start: false,
  })
  const keys = join(world.machine.folder, 'keys')
  await writeFile(keys, `${key}\n`)
  await chmod(keys, 0o600)
  await world.setEnv('VLLM_ACCESS_KEY_FILE', keys)
  world.start()
  const send = (method: string, path: string, body?: object, headers: Record<string, string> = { authorization }) =>
    fetch(`${world.control}${path}`, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(patience),
    })
  const call = async <T = LaunchResponse>(method: string, path: string, body?: object) => {
    const answer = await send(method, path, body)
    return { status: answer.status, json: (await answer.json()) as T }
  }
  const until = (id: string, state: string) =>
    eventually(`${id} is ${state}`, async () => (await call('GET', `/status/${id}`)).json.state === state, patience, 50)
  await eventually('the daemon answers', () => send('GET', '/livez').then(({ ok }) => ok), patience, 50)
  const own = await eventually('the own launch has its GPU', async () => {
    const [first] = (await call<LaunchResponse[]>('GET', '/launch')).json
    return first?.gpu_ids.length === 1 ? first : undefined
  })
  return { world, send, call, until, own }
}

test('a launch lives beside the model of the node: GPUs, events, inference, log, stop, and it is gone', async () => {
  const { world, send, call, until, own } = await startControl()
  expect((await send('GET', '/launch', undefined, {})).status).toBe(401)
  expect(own).toMatchObject({ owner: 'configuration', model, gpu_ids: [0] })

  const taken = await call<{ detail: string }>('POST', '/launch', { model, gpu_ids: [1, 0] })
  expect(taken).toEqual({ status: 409, json: { detail: `Requested GPUs are in use (gpu 0 -> ${own.launch_id})` } })
  const made = await call('POST', '/launch', {
    model,
    gpu_ids: ['1'],
    name: 'beside',
    extra_kwargs: { max_model_len: 64 },
  })
  expect(made).toMatchObject({ status: 201, json: { state: 'bootstrapping', gpu_ids: [1], error: null } })
  const { launch_id: id } = made.json
  const events = send('GET', `/launch/${id}/events`).then((answer) => answer.text())
  await Promise.all([until(id, 'ready'), until(own.launch_id, 'ready')])

  const chat = { model, max_tokens: 2, messages: [{ role: 'user', content: 'a' }] }
  expect((await send('POST', `/launch/${id}/v1/chat/completions`, chat)).status).toBe(200)
  expect((await send('POST', '/v1/chat/completions', chat)).status).toBe(200)
  const unknown = await call<object>('POST', '/v1/chat/completions', { ...chat, model: 'nope' })
  expect(unknown).toMatchObject({ status: 404, json: { error: { message: expect.stringContaining(model) as string } } })
  const { json: models } = await call<{ data: { id: string }[] }>('GET', '/v1/models')
  expect(models.data.map((one) => one.id)).toEqual([model])
  expect((await call<object>('GET', '/stats')).json).toMatchObject({ gpu_count: 2, nvidia_smi_error: null })

  const { json: all } = await call<LogsResponse>('GET', `/logs/${id}?offset=0`)
  expect(all.content).toContain('Application startup complete')
  const { json: rest } = await call<LogsResponse>('GET', `/logs/${id}?offset=${all.next_offset}`)
  expect(rest.offset).toBe(all.next_offset)

  expect(await call('POST', `/stop/${id}`)).toMatchObject({ status: 200, json: { state: 'stopped', error: null } })
  const told = await events
  expect([...told.matchAll(/"state":"(\w+)"/g)].map(([, state]) => state).at(-1)).toBe('stopped')
  expect(told).toContain('data: INFO:     Application startup complete.')
  expect((await call<LaunchResponse[]>('GET', '/launch')).json.map(({ launch_id }) => launch_id)).toEqual([
    own.launch_id,
  ])
  expect((await call('DELETE', `/launch/${id}`)).status).toBe(200)
  expect((await call('GET', `/status/${id}`)).status).toBe(404)
  expect(await world.log()).not.toContain(key)
})

test("the node's own launch is stopped by force alone, and started again over the socket", async () => {
  const { world, call, until, own } = await startControl()
  await until(own.launch_id, 'ready')
  expect((await call('POST', `/stop/${own.launch_id}`)).status).toBe(409)
  expect((await call('POST', `/stop/${own.launch_id}?force=true`)).status).toBe(200)
  await until(own.launch_id, 'stopped')
  expect((await call<object>('GET', '/healthz')).status).toBe(503)
  const again = await askSocket<LaunchResponse>(world.machine.socket, 'POST /launches/node')
  expect(again.launch_id).toBe(own.launch_id)
  await until(own.launch_id, 'ready')
})

test('a model that cannot be loaded fails with code, evidence and remedy, and a key that is taken away closes the door', async () => {
  const { world, call, send, until } = await startControl()
  const made = await call('POST', '/launch', { model, gpu_ids: [1], extra_kwargs: { no_such_flag: 1 } })
  await until(made.json.launch_id, 'failed')
  const { json } = await call('GET', `/status/${made.json.launch_id}`)
  expect(json.error).toContain('no-such-flag')
  expect(json.error).toContain(json.diagnosis?.code)
  expect(json.error).toContain(json.diagnosis?.remedy)
  await writeFile(join(world.machine.folder, 'keys'), 'another\n')
  await eventually('the old key is refused', async () => (await send('GET', '/launch')).status === 401)
  expect((await send('GET', '/launch', undefined, { authorization: 'Bearer another' })).status).toBe(200)
})
