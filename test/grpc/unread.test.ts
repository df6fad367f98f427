// Readers that do not read: what is computed for them, what they keep from others, and that they get all of it once they read.
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import type { CallBounds } from '../../src/grpc/calls.ts'
import { eventually } from '../support/eventually.ts'
import {
  type Asked,
  call,
  callRaw,
  sendCompletion,
  sendJson,
  startFront,
  startJsonEngine,
  toRequest,
} from './support.ts'

const streams = ['CompleteStream', 'EmbedStream', 'TokenStream'] as const

const toBounds = (each: number): CallBounds => ({
  admission: { calls: 100, bytes: 2 ** 24 },
  streams: { each, all: 2 ** 20 },
  messages: { all: 2 ** 24 },
})

/** 8 KB of each kind. */
function answer(asked: Asked): void {
  const { body, response } = asked
  if ('input' in body) return sendJson(response, { data: [{ embedding: Array.from({ length: 2048 }, () => 0.5) }] })
  if (body['stream'] !== true) return sendCompletion(asked, 'x'.repeat(8192))
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const event = `data: ${JSON.stringify({ choices: [{ text: 'y'.repeat(1024), finish_reason: null }] })}\n\n`
  response.end(`${event.repeat(8)}data: {"choices":[],"usage":{"prompt_tokens":3}}\n\ndata: [DONE]\n\n`)
}

async function startCounted(each: number) {
  const state = { asked: 0 }
  const upstream = await startJsonEngine((asked) => {
    state.asked += 1
    answer(asked)
  })
  const launches = [
    { launch_id: 'gen', upstreams: [upstream] },
    { launch_id: 'emb', task: 'embed' as const, upstreams: [upstream] },
  ]
  const untilLeftAlone = async () => {
    const settled = { asked: -1, since: 0 }
    await eventually(
      'the engine to be left alone',
      () => {
        if (settled.asked !== state.asked) Object.assign(settled, { asked: state.asked, since: performance.now() })
        return state.asked > 0 && performance.now() - settled.since > 500
      },
      60_000,
    )
    return state.asked
  }
  return { ...(await startFront(launches, { bounds: toBounds(each) })), upstream, untilLeftAlone }
}

test.each(streams)(
  '%s: many prompts and a reader that does not read; it gets all of it once it reads',
  async (method) => {
    const { client, untilLeftAlone, upstream } = await startCounted(2 ** 18)
    const { stream, messages, outcome } = call(client, method, toRequest(method, 400))
    stream.pause()
    // Of 3 MB in all: 256 KiB ahead, as much on its way, and the windows of HTTP/2.
    expect(await untilLeftAlone()).toBeLessThan(200)
    // Nothing of the engine is kept from others.
    await eventually('few turns to be open', () => upstream.inFlight <= 16, 60_000)
    stream.resume()
    expect((await outcome).code).toBe(status.OK)
    expect(messages).toHaveLength(method === 'TokenStream' ? 3600 : 400)
  },
  60_000,
)

test.each(streams)(
  '%s: many calls that are not read have one bound, and one that is read gets on',
  async (method) => {
    const { other, untilLeftAlone } = await startCounted(2 ** 20)
    const unread = Array.from({ length: 12 }, () => call(other(), method, toRequest(method, 200)))
    for (const { stream } of unread) stream.pause()
    // Of 2400: 1 MiB ahead in all, a prompt of each, and the windows of 12 connections.
    expect(await untilLeftAlone()).toBeLessThan(800)
    const read = call(other(), method, toRequest(method, 20))
    expect((await read.outcome).code).toBe(status.OK)
    expect(read.messages).toHaveLength(method === 'TokenStream' ? 180 : 20)
    for (const { stream } of unread) stream.cancel()
    await Promise.all(unread.map(({ outcome }) => outcome))
  },
  60_000,
)

test('a token stream that is not read pauses the engine', async () => {
  let written = 0
  const state = { full: false }
  const event = `data: ${JSON.stringify({ choices: [{ text: 'y'.repeat(1000), finish_reason: null }] })}\n\n`
  const upstream = await startJsonEngine(({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const go = () => {
      while (written < 64 * 2 ** 20) {
        written += event.length
        state.full = !response.write(event)
        if (state.full) return
      }
      response.end('data: [DONE]\n\n')
    }
    response.on('drain', go)
    go()
  })
  const { client } = await startFront([{ launch_id: 'gen', upstreams: [upstream] }])
  const { stream, outcome } = call(client, 'TokenStream', toRequest('TokenStream', 1))
  stream.pause()
  const settled = { written: -1, since: 0 }
  await eventually(
    'the engine to be paused',
    () => {
      if (settled.written !== written) Object.assign(settled, { written, since: performance.now() })
      return state.full && performance.now() - settled.since > 500
    },
    60_000,
  )
  // Its socket, ours, and what was on the way.
  expect(written).toBeLessThan(16 * 2 ** 20)
  stream.cancel()
  await outcome
  await eventually('no turn to be open', () => upstream.inFlight === 0, 60_000)
})

test('prompts of token streams that are not read take no places from other calls', async () => {
  const event = `data: ${JSON.stringify({ choices: [{ text: 'y'.repeat(1000), finish_reason: null }] })}\n\n`
  const upstream = await startJsonEngine((asked) => {
    if (asked.body['stream'] !== true) return sendCompletion(asked)
    // Without an end.
    asked.response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event.repeat(4))
  })
  const { client, other } = await startFront([{ launch_id: 'gen', upstreams: [upstream] }])
  // Of more prompts than an engine gets at once.
  const unread = Array.from({ length: 5 }, () =>
    call(client, 'TokenStream', toRequest('TokenStream', 300), { options: {} }),
  )
  for (const { stream } of unread) stream.pause()
  await eventually('the places to be taken', () => upstream.inFlight >= 1024, 60_000)
  expect((await call(other(), 'Complete', toRequest('Complete', 3)).outcome).code).toBe(status.OK)
  for (const { stream } of unread) stream.cancel()
  await eventually('no turn to be open', () => upstream.inFlight === 0, 60_000)
}, 120_000)

test.each([
  ['a while', {}],
  ['its deadline', { 'grpc-timeout': '2S' }],
])(
  'answers of one message that are not read are given up after %s, and others get theirs',
  async (_title, headers) => {
    const upstream = await startJsonEngine((asked) => sendCompletion(asked, 'x'.repeat(2 ** 18)))
    const usual = { ...toBounds(2 ** 20), messages: { all: 2 ** 18 } }
    const bounds = 'grpc-timeout' in headers ? usual : { ...usual, unreadMs: 2000 }
    const { client, port } = await startFront([{ launch_id: 'gen', upstreams: [upstream] }], { bounds })
    const begun = performance.now()
    // One that fills the bound, and one that goes on all the same.
    for (let count = 0; count < 2; count += 1) {
      const stream = callRaw(port, 'Complete', toRequest('Complete', 2), headers)
      await new Promise((resolve) => stream.once('response', resolve))
    }
    expect((await call(client, 'Complete', toRequest('Complete', 2)).outcome).code).toBe(status.OK)
    // The usual patience is longer.
    expect(performance.now() - begun).toBeLessThan(55_000)
  },
  60_000,
)

test('streams that are written to their end and not read have a bound, and are given up after a while', async () => {
  let asked = 0
  const upstream = await startJsonEngine((one) => {
    asked += 1
    sendCompletion(one, 'x'.repeat(2 ** 18))
  })
  const bounds = { ...toBounds(2 ** 20), admission: { calls: 40, bytes: 2 ** 24 }, unreadMs: 4000 }
  const { client, port } = await startFront([{ launch_id: 'gen', upstreams: [upstream] }], { bounds })
  const unread = Array.from({ length: 40 }, () => callRaw(port, 'CompleteStream', toRequest('CompleteStream', 1)))
  await eventually('the bound', () => asked > 3, 60_000)
  const ask = () => call(client, 'CompleteStream', toRequest('CompleteStream', 1)).outcome
  // Places are kept until calls are read.
  expect((await ask()).code).toBe(status.RESOURCE_EXHAUSTED)
  await eventually('places', async () => (await ask()).code === status.OK, 60_000)
  for (const stream of unread) stream.destroy()
}, 60_000)
