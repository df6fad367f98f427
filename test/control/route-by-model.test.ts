import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createRoom } from '../../src/control/room.ts'
import { createModelScan } from '../../src/control/model-scan.ts'
import { eventually } from '../support/eventually.ts'
import { startBed } from './bed.ts'
import { startEngine, startTwo } from './two-launches.ts'

test('a request goes to the launch whose model its body names, wherever in the body that is', async () => {
  const { ask } = await startTwo()
  expect((await ask('{"model":"one"}')).json).toMatchObject({ name: 'one', url: '/v1/completions', bytes: 15 })
  const late = JSON.stringify({
    messages: [{ model: 'one', content: '"model": "one"\\' }],
    prompt: 'x'.repeat(200_000),
    model: 'two',
  })
  expect((await ask(late)).json).toMatchObject({ name: 'two', bytes: late.length })
})

test('a long body is passed on whole behind the name', async () => {
  const { ask } = await startTwo()
  const long = JSON.stringify({ model: 'two', prompt: 'ä'.repeat(2_000_000) })
  expect((await ask(long)).json).toMatchObject({ name: 'two', bytes: Buffer.byteLength(long) })
})

test('names of adapters are asked of the engines; an unknown one is 404 with what is there', async () => {
  const { ask } = await startTwo()
  expect((await ask('{"model":"adapter"}')).json.name).toBe('one')
  const { status, json } = await ask('{"model":"three"}')
  expect([status, json.error?.message]).toEqual([404, 'The model three does not exist; there are: one, adapter, two'])
})

test('a model that is still loading is 503, not unknown', async () => {
  const { launches, ask } = await startTwo()
  launches.add('c', { model: 'three' })
  expect((await ask('{"model":"three"}')).status).toBe(503)
})

test.each(['{"prompt":"x"}', '[]', 'garbage', '{"model":1}', '{"model":{"a":1},"b":2}'])(
  '%s names no model: the node takes it, and without one it is told to name one',
  async (body) => {
    const { launches, ask } = await startTwo()
    expect(await ask(body)).toMatchObject({
      status: 400,
      json: { error: { message: 'the body names no model; there are: one, two' } },
    })
    launches.become('b', 'ready', { owner: 'configuration' })
    expect((await ask(body)).json).toMatchObject({ name: 'two', bytes: body.length })
  },
)

test('a body that names no model within its first 1 MiB goes to the only engine that there is', async () => {
  const bed = await startBed()
  bed.launches.add('a', { model: 'one', state: 'ready' })
  bed.launches.serve('a', await startEngine('one'))
  const body = JSON.stringify({ prompt: 'x'.repeat(3_000_000), model: 'other' })
  const { text } = await bed.call('POST', '/v1/completions', { body, headers: { 'content-type': 'application/json' } })
  expect(JSON.parse(text)).toMatchObject({ name: 'one', bytes: body.length })
})

test('/launch/{id}/v1/* goes to that launch alone', async () => {
  const { launches, ask } = await startTwo()
  expect((await ask('{"model":"x"}', '/launch/b/v1/chat/completions?a=1')).json).toMatchObject({
    name: 'two',
    url: '/v1/chat/completions?a=1',
  })
  expect((await ask('{}', '/launch/nope/v1/completions')).status).toBe(404)
  expect((await ask('{}', '/launch/b/v1/../metrics')).status).toBe(404)
  launches.add('c')
  expect((await ask('{}', '/launch/c/v1/completions')).status).toBe(503)
  launches.become('c', 'failed')
  expect((await ask('{}', '/launch/c/v1/completions')).status).toBe(409)
})

test('the models of all launches are one list, and none is 503', async () => {
  const { call, launches } = await startTwo()
  const list = JSON.parse((await call('GET', '/v1/models')).text) as { object: string; data: { id: string }[] }
  expect([list.object, list.data.map(({ id }) => id)]).toEqual(['list', ['one', 'adapter', 'two']])
  launches.upstreams('a')[0]!.state.value = 'gone'
  launches.upstreams('b')[0]!.state.value = 'gone'
  expect((await call('GET', '/v1/models')).status).toBe(503)
})

test.each([
  ['{"model":"a"}', 'a'],
  [' {"x":{"model":"no"},"y":["model","no"],"model" : "a"}', 'a'],
  [String.raw`{"mod\u0065l":"\u00e4\"b\\"}`, 'ä"b\\'],
  [String.raw`{"x":"\\","model":"a"}`, 'a'],
  ['{"model":null,"x":1}', undefined],
  ['{"model":["a"]}', undefined],
  ['{}', undefined],
  ['"model"', undefined],
  ['{"models":"a"}', undefined],
  [`{"model":"${'x'.repeat(5000)}"}`, undefined],
])('of %s the scan finds %j, in any pieces', (text, wanted) => {
  const bytes = Buffer.from(text)
  for (const size of [1, 3, bytes.length]) {
    const scan = createModelScan()
    const found = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      scan.feed(bytes.subarray(at * size, (at + 1) * size)),
    ).findLast((one) => one !== undefined)
    expect(found?.kind === 'model' ? found.model : undefined).toBe(wanted)
  }
})

test('many clients whose long bodies do not end fill no memory: 503 with Retry-After, and the others are served', async () => {
  const bed = await startTwo()
  const late = JSON.stringify({ prompt: 'x'.repeat(200_000), model: 'two' })
  const before = process.memoryUsage().arrayBuffers
  const slow = Array.from({ length: 250 }, () => startSlow(bed.port))
  onTestFinished(() => slow.forEach(({ socket }) => socket.destroy()))
  let peak = 0
  const refused = () => {
    peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
    return slow.filter(({ heard }) => heard.text !== '')
  }
  await eventually('most are refused', () => refused().length > 150, 60_000, 20)
  expect(refused()[0]?.heard.text).toMatch(
    /^HTTP\/1.1 503 [^]*\r\nretry-after: 5\r\n[^]*"message":"too many long bodies .*"type":"service_unavailable"/,
  )
  // 64 MiB, and of each connection what a socket and its parser hold; 250 without a bound.
  expect(peak).toBeLessThan(170 << 20)
  expect((await bed.ask('{"model":"one"}')).json.name).toBe('one')
  const [holding] = slow.filter(({ heard }) => heard.text === '')
  expect(holding?.socket.destroyed).toBe(false)

  slow.forEach(({ socket }) => socket.destroy())
  await eventually('their room is given back', async () => (await bed.ask(late)).json.name === 'two', 30_000)
})

test('an upload that its engine refuses early is read to its end: the next request of the client is answered', async () => {
  const { launches, port } = await startTwo()
  const refusing = createServer((_, response) => void response.writeHead(413, { 'content-length': 3 }).end('big'))
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    refusing.closeAllConnections()
    refusing.close()
  })
  launches.add('c', { model: 'three', state: 'ready' })
  launches.serve('c', (refusing.address() as AddressInfo).port)
  const heard = { text: '' }
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  socket.on('data', (text: Buffer) => (heard.text += text.toString()))
  socket.write(
    'POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000027\r\n\r\n{"model":"three","prompt":"',
  )
  socket.write(long)
  await eventually('the refusal', () => heard.text.endsWith('big'))
  for (let sent = long.length + 27; sent < 9_000_027; sent += long.length)
    socket.write(long.subarray(0, 9_000_027 - sent))
  socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await eventually('the next answer', () => heard.text.match(/HTTP\/1\.1 \d+/g)?.length === 2)
})

/** Sends a MiB without a name, and then nothing. */
function startSlow(port: number) {
  const heard = { text: '' }
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.on('data', (text: Buffer) => (heard.text += text.toString()))
  socket.write('POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n\r\n{"prompt":"')
  socket.write(long)
  return { socket, heard }
}

const long = Buffer.alloc(1_040_000, 'x')

test('room is given in turn, and given back by who is done or leaves', async () => {
  const room = createRoom({ most: 100, patience: 60_000 })
  const never = new AbortController().signal
  const left = new AbortController()
  const first = await room.take(90, never)
  const told: string[] = []
  const ask = (name: string, bytes: number, abort = never) =>
    room.take(bytes, abort).then((taken) => {
      told.push(`${name} ${taken !== undefined}`)
      return taken
    })
  const [b, c, d] = [ask('b', 50, left.signal), ask('c', 10), ask('d', 95)]
  // There would be room for c, but b was before it.
  await Promise.resolve()
  expect(told).toEqual([])
  left.abort()
  await Promise.all([b, c])
  expect(told.toSorted()).toEqual(['b false', 'c true'])
  first?.[Symbol.dispose]()
  first?.[Symbol.dispose]()
  expect(told).toHaveLength(2)
  ;(await c)?.[Symbol.dispose]()
  ;(await d)?.[Symbol.dispose]()
  expect(await room.take(500, never)).toBeDefined()
  expect(await room.take(1, left.signal)).toBe(undefined)
})

test('who finds no room in time is told', async () => {
  const room = createRoom({ most: 10, patience: 5 })
  const never = new AbortController().signal
  expect(await room.take(10, never)).toBeDefined()
  expect(await room.take(1, never)).toBe(undefined)
})
