// The launch service over REST on a machine whose own model has one GPU, from the first request of a launch to the last.
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { LaunchResponse, LogsResponse } from '../../src/api/launches.ts'
import { ask as askSocket } from '../../src/cli/socket-client.ts'
import { readEvents, type ServerEvent } from '../../src/client/server-events.ts'
import { openGrpc } from '../conformance/grpc-calls.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld } from './world.ts'

const key = 'schlüssel'
/** Long enough for guesses of others not to keep it out. */
const newKey = 'c2f0b7e4a91d4d0f8a63'
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

test('a model that cannot be loaded fails with code, evidence and remedy; keys are rotated without a restart', async () => {
  const { world, call, send, until } = await startControl()
  const made = await call('POST', '/launch', { model, gpu_ids: [1], extra_kwargs: { no_such_flag: 1 } })
  await until(made.json.launch_id, 'failed')
  const { json } = await call('GET', `/status/${made.json.launch_id}`)
  expect(json.error).toContain('no-such-flag')
  expect(json.error).toContain(json.diagnosis?.code)
  expect(json.error).toContain(json.diagnosis?.remedy)

  const grpc = openGrpc(`127.0.0.1:${world.ports.grpc}`)
  onTestFinished(() => grpc.close())
  const fresh = { authorization: `Bearer ${newKey}` }
  const rest = async (headers: Record<string, string>) => (await send('GET', '/launch', undefined, headers)).status
  const rpc = async (text: string) => (await grpc.ask('Complete', {}, { metadata: grpc.metadata(text) })).code
  const basic = `Basic ${Buffer.from(`:${key}`).toString('base64')}`
  expect([await rest(fresh), await rpc(fresh.authorization), await rpc(basic)]).toEqual([
    401,
    'UNAUTHENTICATED',
    'INVALID_ARGUMENT',
  ])
  await writeFile(join(world.machine.folder, 'keys'), `${key}\n${newKey}\n`)
  await eventually('the new key counts', async () => (await rest(fresh)) === 200)
  expect([await rest({ authorization }), await rpc(basic), await rpc(fresh.authorization)]).toEqual([
    200,
    'INVALID_ARGUMENT',
    'INVALID_ARGUMENT',
  ])
  await writeFile(join(world.machine.folder, 'keys'), `${newKey}\n`)
  await eventually('the old key is refused', async () => (await rest({ authorization })) === 401)
  expect([await rest(fresh), await rpc(basic), await rpc(fresh.authorization)]).toEqual([
    200,
    'UNAUTHENTICATED',
    'INVALID_ARGUMENT',
  ])
  // Who guesses is told to wait, and keeps nobody out who has a long key.
  const guesses = await Promise.all(
    Array.from({ length: 60 }, (_, at) => send('GET', '/stats', undefined, { authorization: `Bearer guess-${at}` })),
  )
  expect(new Set(guesses.map(({ status }) => status))).toEqual(new Set([401, 429]))
  const limited = guesses.find(({ status }) => status === 429)
  expect(Number(limited?.headers.get('retry-after'))).toBeGreaterThan(0)
  expect([await rest(fresh), await rpc(fresh.authorization)]).toEqual([200, 'INVALID_ARGUMENT'])
  expect(await world.log()).not.toMatch(new RegExp(`${key}|${newKey}`))
})

test('events go on behind the last one seen over a daemon that is killed: each line of the log once, and how it ended', async () => {
  const { world, call, send, until } = await startControl()
  const { launch_id: id } = (await call('POST', '/launch', { model, gpu_ids: [1] })).json
  const read = async (last?: string) => {
    const headers = { authorization, ...(last !== undefined && { 'last-event-id': last }) }
    const answer = await send('GET', `/launch/${id}/events`, undefined, headers)
    const told: ServerEvent[] = []
    const ended = (async () => {
      if (answer.body) for await (const event of readEvents(answer.body)) told.push(event)
    })().catch(() => {})
    return { status: answer.status, told, ended }
  }
  const first = await read()
  await until(id, 'ready')
  await eventually('it is told', () => first.told.some(({ data }) => data.includes('"state":"ready"')))
  // As if its reader had got no further than the middle.
  const half = first.told.slice(0, Math.ceil(first.told.length / 2))
  await world.kill('SIGKILL')
  await first.ended
  world.start()
  await eventually('the next daemon has it', () => until(id, 'ready').then(() => true), patience, 200)
  const second = await read(half.at(-1)?.id)
  expect((await call('DELETE', `/launch/${id}`)).json.state).toBe('stopped')
  await second.ended
  const lines = [...half, ...second.told].filter(({ event }) => event === 'log').map(({ data }) => data)
  const { content } = (await call<LogsResponse>('GET', `/logs/${id}`)).json
  expect(lines).toEqual(content.split(/\r\n|\n|\r/).filter((line) => line !== ''))
  const states = second.told
    .filter(({ event }) => event === 'state')
    .map(({ data }) => /"state":"(\w+)"/.exec(data)?.[1])
  expect([states.at(0), states.at(-1)]).toEqual(['ready', 'stopped'])
  expect(await read(second.told.at(-1)?.id)).toMatchObject({ status: 204, told: [] })
})
