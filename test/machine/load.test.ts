// Callers that are slow, huge or garbled, and an engine that hangs: whole daemon, and others are served meanwhile.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type Answer, ask, enginePids, model, whenPid } from './asks.ts'
import { startWorld, type World } from './world.ts'

/** Shared: a storm must leave the daemon as it was for the next one. */
const shared: { world?: World; end?: () => Promise<void> } = {}

beforeAll(async () => {
  shared.world = await startWorld({
    // Of an engine that answers late, not of one that is ended for it.
    set: { MLNODE_HANG_GRACE_SEC: '600' },
    // As the unit has it.
    environment: { NODE_OPTIONS: '--max-semi-space-size=2', MALLOC_ARENA_MAX: '2' },
    lastsUntil: (end) => (shared.end = end),
  })
  await shared.world.untilRegistered()
  await serving(shared.world)
}, 120_000)

afterAll(() => shared.end?.(), 60_000)

function theWorld(): World {
  if (!shared.world) throw new Error('no world')
  return shared.world
}

const serving = (world: World) =>
  eventually(
    'both engines serve',
    async () => (await world.engines()).every(({ phase }) => phase === 'serving'),
    60_000,
  )

function chat({ inference }: World): Promise<Answer> {
  const body = { model, max_tokens: 1, messages: [{ role: 'user', content: 'a' }] }
  return ask(`${inference}/v1/chat/completions`, { body, headers: { 'content-type': 'application/json' } })
}

/** New callers of both listeners are served as ever. */
async function expectServed(world: World): Promise<void> {
  const answers = await Promise.all([chat(world), ask(`${world.node}/api/v1/state`), ask(`${world.node}/health`)])
  expect(answers.map(({ status, ms }) => [status, ms < 5000])).toEqual(answers.map(() => [200, true]))
}

const portOf = (url: string) => Number(new URL(url).port)

/** Says half a head, and nothing more. */
async function openSlowly(url: string): Promise<Socket> {
  const socket = connect(portOf(url), '127.0.0.1')
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Half: a')
  return socket
}

test('1,000 clients that stop in mid-header keep nobody from being served', { timeout: 60_000 }, async () => {
  const world = theWorld()
  const urls = Array.from({ length: 1000 }, (_, at) => (at % 2 === 0 ? world.inference : world.node))
  const slow = await Promise.all(urls.map(openSlowly))
  try {
    await expectServed(world)
    expect(slow.filter(({ closed }) => !closed).length).toBe(1000)
  } finally {
    for (const socket of slow) socket.destroy()
  }
  await expectServed(world)
})

/** Peak resident memory of the daemon so far, MiB. */
async function readPeak(world: World): Promise<number> {
  const text = await readFile(`/proc/${world.daemon().pid()}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(text)?.[1]) / 1024
}

type Sent = { status: number | undefined; sent: number }

/** One MiB again and again, as fast as it is taken, until all is sent or an answer comes. */
function stream(url: string, mib: number): Promise<Sent> {
  const head = Buffer.from(JSON.stringify({ model, prompt: '' }).slice(0, -2))
  const piece = Buffer.alloc(2 ** 20, 'a')
  const headers = { 'content-type': 'application/json', 'content-length': head.length + mib * piece.length }
  return new Promise((resolve, reject) => {
    const state = { sent: 0, over: false }
    const call = request(url, { method: 'POST', headers, agent: false }, (answer) => {
      state.over = true
      answer.resume().once('close', () => resolve({ status: answer.statusCode, sent: state.sent }))
    })
    call.on('error', reject)
    call.write(head)
    const pump = () => {
      while (!state.over && state.sent < mib) {
        state.sent += 1
        if (!call.write(piece)) return void call.once('drain', pump)
      }
      call.end()
    }
    pump()
  })
}

test('a body of 2 GB passes through without being held', { timeout: 120_000 }, async () => {
  const world = theWorld()

  const outcome = await stream(`${world.inference}/v1/completions`, 2048)

  // No prompt of this size is JSON to the engine, which reads it to its end.
  expect(outcome).toEqual({ status: 400, sent: 2048 })
  expect(await readPeak(world)).toBeLessThan(240)
  await expectServed(world)
})

/** The status that raw bytes are answered with; NaN for none. */
function sayRaw(url: string, bytes: string | Buffer): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(portOf(url), '127.0.0.1')
    let text = ''
    socket.setTimeout(10_000, () => socket.destroy())
    socket.on('data', (piece) => (text += piece.toString('latin1')))
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(Number(text.split(' ')[1])))
    socket.write(bytes)
  })
}

test('garbage instead of a head is refused with 400 or 431, and the listeners go on', { timeout: 60_000 }, async () => {
  const world = theWorld()
  const line = 'GET /health HTTP/1.1\r\nHost: a\r\n'
  const both = 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  const garbage: [what: string, status: number, bytes: string | Buffer][] = [
    ['TLS', 400, Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0]), randomBytes(4096)])],
    ['zeroes', 400, Buffer.alloc(1024)],
    ['a header of 100 KiB', 431, `${line}X-Long: ${'a'.repeat(102_400)}\r\n\r\n`],
    ['a path of 100 KiB', 431, `GET /${'a'.repeat(102_400)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['bare LF', 400, 'GET /health HTTP/1.1\nHost: a\n\n'],
    ['NUL in a name', 400, `${line}bad\0name: a\r\n\r\n`],
    ['two lengths', 400, `POST /v1/completions HTTP/1.1\r\nHost: a\r\n${both}`],
  ]
  const wanted = Object.fromEntries(garbage.map(([what, status]) => [what, status]))
  for (const url of [world.inference, world.node]) {
    const answers = await Promise.all(garbage.map(async ([what, , bytes]) => [what, await sayRaw(url, bytes)] as const))
    expect(Object.fromEntries(answers)).toEqual(wanted)
  }
  await expectServed(world)
})

const reads = [
  '/health',
  '/livez',
  '/readyz',
  '/api/v1/state',
  '/api/v1/versions',
  '/api/v1/clock',
  '/api/v1/metrics',
  '/api/v1/gpu/devices',
  '/api/v1/models/list',
  '/api/v1/models/space',
  '/api/v1/inference/up/status',
  '/api/v1/inference/pow/status',
  '/api/v1/inference/pow/versions',
  '/api/v1/pow/status',
]

test('P12 while an engine hangs, all that need not wait for it answers within 5 s', { timeout: 60_000 }, async () => {
  const world = theWorld()
  const before = await enginePids(world)
  const hung = await whenPid(world, 0)
  process.kill(hung, 'SIGSTOP')
  try {
    const answers = await Promise.all(reads.map((path) => ask(`${world.node}${path}`)))
    expect(Object.fromEntries(reads.map((path, at) => [path, describe(answers[at])]))).toEqual(
      Object.fromEntries(reads.map((path) => [path, path.endsWith('clock') ? '204 in time' : '200 in time'])),
    )
    expect(JSON.parse(answers[reads.indexOf('/api/v1/inference/pow/status')]?.text ?? '')).toMatchObject({
      status: 'MIXED',
      backends: [{ status: 'ERROR' }, { status: 'IDLE' }],
    })
  } finally {
    process.kill(hung, 'SIGCONT')
  }
  await serving(world)
  await expectServed(world)
  expect(await enginePids(world)).toEqual(before)
})

const describe = (answer: Answer | undefined) =>
  `${answer?.status} ${answer && answer.ms < 5000 ? 'in time' : `after ${answer?.ms} ms`}`
