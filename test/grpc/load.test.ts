// Many prompts of one call, beside others: what reaches the engine, and in which turn.
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type Asked, call, prompts, sendCompletion, sendJson, startFront, startJsonEngine } from './support.ts'

test('a call with one prompt does not wait behind a call with thousands', async () => {
  const waiting: Asked[] = []
  const upstream = await startJsonEngine((asked) => waiting.push(asked))
  const { client, other } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const big = call(client, 'CompleteStream', { launch_id: 'l', prompts: prompts(5000) })
  await eventually('the engine to be full', () => waiting.length === 1024, 60_000)
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
}, 120_000)

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
