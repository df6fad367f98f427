// Many prompts, and clients that leave, wait, or do not read: what reaches the engine, and what stays in memory.
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type Asked, call, prompts, sendCompletion, sendJson, startFront, startJsonEngine } from './support.ts'

test('a client that leaves frees the engine, and nothing more is asked', async () => {
  let [open, closed] = [0, 0]
  const upstream = await startJsonEngine(({ response }) => {
    open += 1
    response.on('close', () => (closed += 1))
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  for (const method of ['Complete', 'CompleteStream', 'TokenStream'] as const) {
    open = closed = 0
    const { stream, outcome } = call(client, method, { launch_id: 'l', prompts: prompts(2000) })
    await eventually('as many as one engine gets', () => open === 1024)
    stream.cancel()
    await eventually('the engine to be free', () => closed === 1024)
    expect((await outcome).code).toBe(status.CANCELLED)
    await eventually('no turn to be open', () => upstream.inFlight === 0)
    expect(open).toBe(1024)
  }
}, 60_000)

test('a deadline ends the call and its prompts', async () => {
  let closed = 0
  const upstream = await startJsonEngine(({ response }) => response.on('close', () => (closed += 1)))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  for (const method of ['Complete', 'CompleteStream'] as const) {
    closed = 0
    const options = { deadline: Date.now() + 500 }
    const { code } = await call(client, method, { launch_id: 'l', prompts: prompts(5) }, { options }).outcome
    expect(code).toBe(status.DEADLINE_EXCEEDED)
    await eventually('the engine to be free', () => closed === 5 && upstream.inFlight === 0)
  }
})

test('a call with one prompt does not wait behind a call with thousands', async () => {
  const waiting: Asked[] = []
  const upstream = await startJsonEngine((asked) => waiting.push(asked))
  const { client, other } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const big = call(client, 'CompleteStream', { launch_id: 'l', prompts: prompts(5000) })
  await eventually('the engine to be full', () => waiting.length === 1024)
  const small = call(other(), 'Complete', { launch_id: 'l', prompts: ['small'] })
  // Time for it to arrive: it can only be asked once a place is free.
  await eventually('places', () => {
    for (const one of waiting.splice(0, 8)) sendCompletion(one)
    return waiting.some(({ body }) => body['prompt'] === 'small')
  })
  for (const one of waiting.filter(({ body }) => body['prompt'] === 'small')) sendCompletion(one)
  expect((await small.outcome).code).toBe(status.OK)
  expect(big.messages.length).toBeLessThan(4000)
  big.stream.cancel()
  await big.outcome
})

test('prompts go to the least busy engine of a launch', async () => {
  const counts = [0, 0]
  const upstreams = await Promise.all(
    [0, 1].map((at) => startJsonEngine(() => void (counts[at] = (counts[at] ?? 0) + 1))),
  )
  const { client } = await startFront([{ launch_id: 'l', upstreams }])
  const { stream, outcome } = call(client, 'Complete', { launch_id: 'l', prompts: prompts(200) })
  await eventually('all to be asked', () => counts[0] === 100 && counts[1] === 100)
  stream.cancel()
  await outcome
})

test('for a reader that does not read, so much is computed ahead and no more; it gets all of it once it reads', async () => {
  const text = 'x'.repeat(16_384)
  let asked = 0
  const upstream = await startJsonEngine((one) => {
    asked += 1
    sendCompletion(one, text)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const { stream, messages, outcome } = call(client, 'CompleteStream', { launch_id: 'l', prompts: prompts(4000) })
  stream.pause()
  const settled = { asked: -1, since: 0 }
  await eventually('the engine to be left alone', () => {
    if (settled.asked !== asked) Object.assign(settled, { asked, since: performance.now() })
    return asked > 0 && performance.now() - settled.since > 500
  })
  // 64 MiB in all: 4 MiB of look-ahead, what was in flight before their size was known, and the windows of HTTP/2.
  expect(asked).toBeLessThan(1800)
  stream.resume()
  expect((await outcome).code).toBe(status.OK)
  expect(messages).toHaveLength(4000)
}, 60_000)

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
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const { stream, outcome } = call(client, 'TokenStream', { launch_id: 'l', prompts: ['a'] })
  stream.pause()
  const settled = { written: -1, since: 0 }
  await eventually('the engine to be paused', () => {
    if (settled.written !== written) Object.assign(settled, { written, since: performance.now() })
    return state.full && performance.now() - settled.since > 500
  })
  // Its socket, ours, and what was on the way.
  expect(written).toBeLessThan(16 * 2 ** 20)
  stream.cancel()
  await outcome
  await eventually('no turn to be open', () => upstream.inFlight === 0)
})

test('a failure ends the whole call: what runs is given up, what waits is not begun', async () => {
  let asked = 0
  const upstream = await startJsonEngine((one) => {
    asked += 1
    if (asked === 600) sendJson(one.response, { error: { message: 'no' } }, 400)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const { details } = await call(client, 'Complete', { launch_id: 'l', prompts: prompts(3000) }).outcome
  expect(details).toBe('Generation failed: no')
  await eventually('no turn to be open', () => upstream.inFlight === 0)
  expect(asked).toBeLessThan(1100)
})
