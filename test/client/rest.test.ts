// The client against services that behave badly: each call ends, and says how.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type LaunchEvent, connect, RequestError, UnreachableError, WaitTimeoutError } from '../../src/client/index.ts'
import { readEvents } from '../../src/client/server-events.ts'
import { freePort } from '../support/free-port.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void

async function serve(answer: Answer, port = 0): Promise<string> {
  const state = { count: 0 }
  const server = createServer((request, response) => answer(request, response, (state.count += 1)))
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const json = (response: ServerResponse, status: number, value: unknown) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

const facts = (state: string, more: object = {}) => ({
  launch_id: 'one',
  model: 'm',
  gpu_ids: [0],
  task: 'generate',
  state,
  created_at: '2026-11-20T22:12:46.781225Z',
  updated_at: '2026-11-20T22:12:46.781225Z',
  error: null,
  ...more,
})

test('a service that never answers ends in WaitTimeoutError, one that is not there in UnreachableError', async () => {
  const silent = connect({ baseUrl: await serve(() => {}), timeout: 100 })
  await expect(silent.launches()).rejects.toBeInstanceOf(WaitTimeoutError)
  const absent = connect({ baseUrl: `http://127.0.0.1:${await freePort()}` })
  await expect(absent.stats()).rejects.toThrow(/GET \/stats at .*ECONNREFUSED/)
  await expect(absent.stats()).rejects.toBeInstanceOf(UnreachableError)
})

test.each([
  ['no JSON', (response: ServerResponse) => void response.end('<html>')],
  ['another JSON', (response: ServerResponse) => void json(response, 200, { ok: true })],
  [
    'an answer that breaks off',
    (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': 10 }).write('[')
      setTimeout(() => response.destroy(), 20)
    },
  ],
  ['an answer without an end', (response: ServerResponse) => flood(response)],
])('%s is UnreachableError', async (_name, answer) => {
  const baseUrl = await serve((_request, response) => answer(response))
  await expect(connect({ baseUrl, timeout: 20_000 }).launches()).rejects.toBeInstanceOf(UnreachableError)
})

function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(1 << 20, 0x20)
  const more = () => {
    while (!response.destroyed && response.write(piece));
  }
  response
    .writeHead(200)
    .on('drain', more)
    .on('error', () => {})
  more()
}

test('refusals carry status and detail: a sentence, the issues of a 422, or whatever a proxy in between says', async () => {
  const issue = { type: 'int_parsing', loc: ['body', 'gpu_ids', 0], msg: 'not a number', input: 'a' }
  const baseUrl = await serve((_request, response, count) => {
    if (count === 1) json(response, 409, { detail: 'Requested GPUs are in use (gpu 0 -> x)' })
    else if (count === 2) json(response, 422, { detail: [issue] })
    else response.writeHead(504, 'Gateway Timeout').end('upstream is away')
  })
  const client = connect({ baseUrl })
  const failOf = () => client.launch({ model: 'm' }).catch((error: unknown) => error as RequestError)
  expect(await failOf()).toMatchObject({ status: 409, detail: 'Requested GPUs are in use (gpu 0 -> x)' })
  expect(await failOf()).toMatchObject({
    status: 422,
    detail: [issue],
    message: expect.stringContaining('body.gpu_ids.0: not a number'),
  })
  expect(await failOf()).toMatchObject({ status: 504, detail: 'upstream is away' })
})

test('what is not said is not sent; the key goes along', async () => {
  const seen: unknown[] = []
  const baseUrl = await serve((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      seen.push(request.headers.authorization, JSON.parse(Buffer.concat(chunks).toString()))
      json(response, 201, facts('bootstrapping'))
    })
  })
  const client = connect({ baseUrl: `${baseUrl}/`, accessKey: 'k' })
  const launch = await client.launch({ model: 'm', gpuIds: [1], extraKwargs: { max_model_len: 4096 }, ttlSeconds: 60 })
  expect(seen).toEqual([
    'Bearer k',
    { model: 'm', gpu_ids: [1], extra_kwargs: { max_model_len: 4096 }, ttl_seconds: 60 },
  ])
  expect(launch.openaiUrl).toBe(`${baseUrl}/launch/one/v1`)
})

test('untilReady waits out an outage, hears of progress, and ends in time', async () => {
  const baseUrl = await serve((request, response, count) => {
    if (count === 1) json(response, 201, facts('bootstrapping'))
    else if (count === 2) request.socket.destroy()
    else if (count === 3) json(response, 503, { detail: 'starting' })
    else json(response, 200, facts(count > 5 ? 'ready' : 'bootstrapping', { progress: { percent: 10 * count } }))
  })
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  const heard: unknown[] = []
  await launch.untilReady({ timeout: 20_000, onChange: ({ progress }) => heard.push(progress?.percent) })
  expect(heard).toEqual([40, 50, 60])
})

test('untilReady fails with the reason of the launch, or after its timeout, or when its signal says so', async () => {
  const state = { now: 'bootstrapping', error: null as string | null }
  const baseUrl = await serve((request, response) =>
    json(response, request.method === 'POST' ? 201 : 200, facts(state.now, { error: state.error })),
  )
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  await expect(launch.untilReady({ timeout: 120 })).rejects.toThrow('launch one is ready: not within 120 ms')
  const asked = new AbortController()
  const waiting = launch.untilReady({ signal: asked.signal })
  asked.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  Object.assign(state, { now: 'failed', error: 'no such model' })
  await expect(launch.untilReady()).rejects.toMatchObject({
    name: 'LaunchEndedError',
    state: 'failed',
    detail: 'no such model',
  })
})

test('await using stops the launch, also one that takes longer than one answer, and forgives one that is forgotten', async () => {
  const calls: string[] = []
  const baseUrl = await serve((request, response, count) => {
    calls.push(`${request.method} ${request.url}`)
    if (request.url === '/launch') json(response, 201, facts('bootstrapping'))
    else json(response, 200, facts(count > 3 ? 'stopped' : 'stopping'))
  })
  {
    await using launch = await connect({ baseUrl }).launch({ model: 'm' })
    expect(launch.id).toBe('one')
  }
  expect(calls).toEqual(['POST /launch', 'POST /stop/one', 'GET /status/one', 'GET /status/one'])
  const forgetful = await serve((request, response) =>
    request.url === '/launch'
      ? json(response, 201, facts('ready'))
      : json(response, 404, { detail: 'Unknown launch_id: one' }),
  )
  {
    await using launch = await connect({ baseUrl: forgetful }).launch({ model: 'm' })
    expect(launch.snapshot.state).toBe('ready')
  }
})

test('events go on after the last one seen when the connection breaks, and end with the launch', async () => {
  const asked: unknown[] = []
  const baseUrl = await serve((request, response, count) => {
    if (count === 1) return void json(response, 201, facts('bootstrapping'))
    asked.push(request.headers['last-event-id'])
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (asked.length === 1) {
      response.write(
        `: hello\n\nid: 1\nevent: state\ndata: ${JSON.stringify(facts('bootstrapping'))}\n\nid: 2\nevent: log\nda`,
      )
      setTimeout(() => response.destroy(), 20)
      return
    }
    response.write('id: 3\nevent: later\ndata: unknown kind\n\nid: 4\nevent: log\ndata: loading\n\n')
    response.end(`id: 5\nevent: state\ndata: ${JSON.stringify(facts('stopped'))}\n\n`)
  })
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  const seen: LaunchEvent[] = []
  for await (const one of launch.events()) seen.push(one)
  expect(asked).toEqual([undefined, '1'])
  expect(seen.map((one) => (one.type === 'log' ? one.line : one.launch.state))).toEqual([
    'bootstrapping',
    'loading',
    'stopped',
  ])
})

test('a timeout of undefined is the usual one', async () => {
  const baseUrl = await serve((_request, response, count) =>
    json(response, count === 1 ? 201 : 200, facts(count === 1 ? 'bootstrapping' : count > 3 ? 'stopped' : 'ready')),
  )
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  const bound = { timeout: undefined, signal: AbortSignal.timeout(5000) }
  expect(await launch.untilReady(bound)).toMatchObject({ state: 'ready' })
  expect(await launch.stop(bound)).toMatchObject({ state: 'stopped' })
})

test('a connection of events that was quiet for longer than patience is made anew when it breaks', async () => {
  const patience = 400
  const baseUrl = await serve((_request, response, count) => {
    if (count === 1) return void json(response, 201, facts('ready'))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (count > 2) return void response.end(`id: 2\nevent: state\ndata: ${JSON.stringify(facts('stopped'))}\n\n`)
    response.write(`id: 1\nevent: state\ndata: ${JSON.stringify(facts('ready'))}\n\n`)
    setTimeout(() => response.destroy(), 2 * patience)
  })
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  const seen: LaunchEvent[] = []
  for await (const one of launch.events({ patience })) seen.push(one)
  expect(seen).toHaveLength(2)
})

test('a service that ends each stream of events without a word is given up after patience', async () => {
  const baseUrl = await serve((_request, response, count) =>
    count === 1 ? json(response, 201, facts('ready')) : response.writeHead(200).end(),
  )
  const launch = await connect({ baseUrl }).launch({ model: 'm' })
  const reading = launch.events({ patience: 300, signal: AbortSignal.timeout(10_000) }).next()
  await expect(reading).rejects.toThrow(/the stream ended before the launch did/)
})

test('a stream of events is read however it is cut', async () => {
  const text = 'id: 1\r\nevent: log\r\ndata: ü ✓\r\n\r\n: comment\n\ndata: a\ndata: b\n\nid\ndata:c\n\ndata: unfinished'
  const bytes = Buffer.from(text)
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size))
        controller.close()
      },
    })
    const found = []
    for await (const one of readEvents(stream)) found.push(one)
    expect(found).toEqual([
      { id: '1', event: 'log', data: 'ü ✓' },
      { id: '1', event: 'message', data: 'a\nb' },
      { id: '', event: 'message', data: 'c' },
    ])
  }
})
