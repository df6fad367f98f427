import { request as ask, type IncomingMessage } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { createLogLines } from '../../src/control/log-lines.ts'
import { eventually } from '../support/eventually.ts'
import { startBed, type Bed } from './bed.ts'

type Told = { id: string; event: string; data: string }

/** A reader of events that can stop reading, and leave. */
async function read({ port }: Bed, id: string, last?: string) {
  const told: Told[] = []
  const state = { rest: '', ended: false }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = last === undefined ? {} : { 'last-event-id': last }
    const call = ask({ host: '127.0.0.1', port, path: `/launch/${id}/events`, agent: false, headers }, resolve)
    call.once('error', reject)
    call.end()
  })
  onTestFinished(() => void response.destroy())
  response.setEncoding('utf8')
  response.on('data', (text: string) => {
    const blocks = (state.rest + text).split('\n\n')
    state.rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? ''
      if (field('event') !== '') told.push({ id: field('id'), event: field('event'), data: field('data') })
    }
  })
  response.once('end', () => (state.ended = true))
  response.once('error', () => {})
  const brief = () =>
    told.map(({ event, data }) => (event === 'state' ? (JSON.parse(data) as { state: string }).state : data))
  return { told, state, response, brief }
}

test('states and log lines are told as they come; how it ended is told last, and the stream ends', async () => {
  const bed = await startBed()
  bed.launches.add('a')
  const reader = await read(bed, 'a')
  expect(reader.response.headers['content-type']).toContain('text/event-stream')
  bed.launches.say('a', 'first\n\nsecönd 10%\rsecond 20%\r')
  await eventually('lines', () => reader.told.length === 4)
  bed.launches.become('a', 'ready')
  await eventually('ready', () => reader.told.length === 5)
  bed.launches.say('a', 'last without an end')
  bed.launches.become('a', 'failed')
  await eventually('the end', () => reader.state.ended)
  expect(reader.brief()).toEqual([
    'bootstrapping',
    'first',
    'secönd 10%',
    'second 20%',
    'ready',
    'last without an end',
    'failed',
  ])
})

test('of many steps of a load one a second is told, and a new state at once', async () => {
  const bed = await startBed()
  bed.launches.add('a')
  const reader = await read(bed, 'a')
  await eventually('the first', () => reader.told.length === 1)
  const begin = performance.now()
  for (let percent = 0; percent < 20; percent += 1) {
    bed.launches.become('a', 'bootstrapping', { progress: { percent } })
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  bed.launches.become('a', 'ready')
  await eventually('ready', () => reader.brief().at(-1) === 'ready')
  // On a busy machine the loop itself takes longer than a second.
  expect(reader.told.length).toBeLessThanOrEqual(3 + (performance.now() - begin) / 1000)
})

test('the next connection goes on where the last one got, and is not needed once all was told', async () => {
  const bed = await startBed()
  bed.launches.add('a')
  bed.launches.say('a', 'one\ntwö\nthree\n')
  const first = await read(bed, 'a')
  await eventually('lines', () => first.told.length === 4)
  first.response.destroy()

  bed.launches.become('a', 'stopped')
  const second = await read(bed, 'a', first.told[2]?.id)
  await eventually('the end', () => second.state.ended)
  expect(second.brief()).toEqual(['three', 'stopped'])

  const third = await read(bed, 'a', second.told.at(-1)?.id)
  expect([third.response.statusCode, third.told]).toEqual([204, []])
  const stranger = await read(bed, 'a', 'not of ours')
  await eventually('the end', () => stranger.state.ended)
  expect(stranger.brief()).toEqual(['one', 'twö', 'three', 'stopped'])
})

test('an unknown launch is 404; a reader that leaves and one that reads nothing hold nothing', async () => {
  const bed = await startBed()
  expect((await bed.call('GET', '/launch/nope/events')).text).toBe('{"detail":"Unknown launch_id: nope"}')
  bed.launches.add('a')
  const pulled = { count: 0, left: 0 }
  const line = `${'x'.repeat(1023)}\n`
  bed.launches.followLog = async function* (_id, _offset, abort) {
    try {
      for (; !abort.aborted; pulled.count += 1) {
        const at = pulled.count * line.length
        yield { offset: at, next: at + line.length, content: line }
      }
    } finally {
      pulled.left += 1
    }
  }
  const reader = await read(bed, 'a')
  reader.response.pause()
  const seen = { count: 0 }
  const rests = () => {
    const before = seen.count
    seen.count = pulled.count
    return before > 0 && seen.count === before
  }
  await eventually('it is no longer pulled from', rests, 15_000, 200)
  // What the sockets take: a few MiB.
  expect(pulled.count * line.length).toBeLessThan(64 * 1024 * 1024)
  reader.response.destroy()
  await eventually('it is let go', () => pulled.left === 1)
})

test('of a log that is no UTF-8 the places of lines are never beyond what was read', () => {
  const lines = createLogLines()
  const found = lines.take({ offset: 10, next: 16, content: 'a\uFFFD\nb\uFFFD\n' })
  expect(found).toEqual([
    { text: 'a\uFFFD', end: 10 },
    { text: 'b\uFFFD', end: 16 },
  ])
  expect(lines.take({ offset: 16, next: 20, content: 'c\r\nd' })).toEqual([{ text: 'c', end: 19 }])
  expect(lines.rest()).toEqual([{ text: 'd', end: 20 }])
})
