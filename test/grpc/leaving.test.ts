// Clients that leave and deadlines that pass, whatever the call does or waits for at that moment: the engine is free, nothing more is
// asked, and all that the call held is given back.
import type { Client } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import type { CallBounds } from '../../src/grpc/calls.ts'
import { eventually } from '../support/eventually.ts'
import { type Asked, call, callRaw, sendCompletion, startFront, startJsonEngine, toRequest } from './support.ts'

const methods = ['Complete', 'CompleteStream', 'Embed', 'EmbedStream', 'TokenStream'] as const

async function startWorld(answer: (asked: Asked) => void = () => {}, bounds?: CallBounds) {
  const state = { open: 0, closed: 0 }
  const upstream = await startJsonEngine((asked) => {
    state.open += 1
    asked.response.on('close', () => (state.closed += 1))
    answer(asked)
  })
  const launches = [
    { launch_id: 'gen', upstreams: [upstream] },
    { launch_id: 'emb', task: 'embed' as const, upstreams: [upstream] },
  ]
  const front = await startFront(launches, bounds && { bounds })
  const untilFree = () =>
    eventually('the engine to be free', () => state.closed === state.open && upstream.inFlight === 0, 60_000)
  return { ...front, upstream, state, untilFree }
}

test.each([
  ['Complete', 100, 100],
  // As many as one engine gets; the rest waits.
  ['CompleteStream', 2000, 1024],
  ['Embed', 100, 100],
  ['EmbedStream', 100, 100],
  // Its connections are open for long: one call gets fewer.
  ['TokenStream', 2000, 256],
] as const)(
  '%s: a client that leaves frees the engine, and nothing more is asked',
  async (method, count, most) => {
    const { client, state, untilFree } = await startWorld()
    const { stream, outcome } = call(client, method, toRequest(method, count))
    await eventually('as many as one call may ask', () => state.open === most, 60_000)
    stream.cancel()
    expect((await outcome).code).toBe(status.CANCELLED)
    await untilFree()
    expect(state.open).toBe(most)
  },
  120_000,
)

test.each(methods)('%s: the service itself sees to a deadline', async (method) => {
  const { port, state, untilFree } = await startWorld()
  const stream = callRaw(port, method, toRequest(method, 5), { 'grpc-timeout': '700m' })
  const code = new Promise((resolve) => {
    for (const event of ['response', 'trailers'] as const)
      stream.on(event, (headers) => headers['grpc-status'] && resolve(headers['grpc-status']))
  })
  stream.resume()
  await eventually('the prompts', () => state.open === 5)
  expect(await code).toBe(String(status.DEADLINE_EXCEEDED))
  await untilFree()
})

test('a deadline also ends what nobody reads', async () => {
  const event = `data: ${JSON.stringify({ choices: [{ text: 'y'.repeat(1000), finish_reason: null }] })}\n\n`
  const { port, state, untilFree } = await startWorld((asked) => {
    if (asked.body['stream'] !== true) return sendCompletion(asked, 'x'.repeat(50_000))
    asked.response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event.repeat(1000))
  })
  for (const method of ['CompleteStream', 'TokenStream'] as const)
    callRaw(port, method, toRequest(method, 500), { 'grpc-timeout': '1500m' })
  await eventually('prompts of both', () => state.open > 20)
  await untilFree()
  expect(state.open).toBeLessThan(600)
})

test('a call that waits for its turn at the engine ends at once when its client leaves or its deadline passes', async () => {
  const { client, other, state, upstream } = await startWorld()
  call(client, 'Complete', toRequest('Complete', 1024))
  await eventually('the engine to be full', () => state.open === 1024, 60_000)
  await leaveAndWait(other)
  expect(upstream.inFlight).toBe(1024)
}, 120_000)

test('so does one that waits for memory', async () => {
  const bounds: CallBounds = {
    admission: { calls: 100, bytes: 2 ** 24 },
    streams: { each: 2 ** 20, all: 2 ** 20 },
    messages: { all: 64 * 1024 },
  }
  // 70 KB are there; the last prompt is not answered.
  const { client, other, upstream, state } = await startWorld((asked) => {
    if (asked.body['prompt'] !== 'p7') sendCompletion(asked, 'x'.repeat(10_000))
  }, bounds)
  call(client, 'Complete', toRequest('Complete', 8))
  await eventually('the answers', () => state.closed === 7)
  // One call goes on beyond the bound.
  call(client, 'Complete', { launch_id: 'gen', prompts: ['p7'] })
  await eventually('the one', () => state.open === 9)
  await leaveAndWait(other)
  expect([state.open, upstream.inFlight]).toEqual([9, 2])
})

async function leaveAndWait(other: () => Client): Promise<void> {
  const leaving = call(other(), 'Complete', toRequest('Complete', 3))
  const late = call(other(), 'Complete', toRequest('Complete', 3), { options: { deadline: Date.now() + 500 } })
  expect((await late.outcome).code).toBe(status.DEADLINE_EXCEEDED)
  leaving.stream.cancel()
  expect((await leaving.outcome).code).toBe(status.CANCELLED)
}
