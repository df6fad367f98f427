// A fleet that lost its API node at one moment must not come back in one moment; one node alone must not wait.
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { defaultTiming, judgeRetry } from '../../src/api-nodes/timing.ts'
import { eventually } from '../support/eventually.ts'
import { gets, posts, quick, rehearse, startPart } from './support.ts'

/** When each of 200 nodes, all of which failed at 0, first asks after `outage` ms. Without waiting: the schedule itself. */
function simulateReturn(outage: number, random: () => number): number[] {
  return Array.from({ length: 200 }, () => {
    let at = 0
    for (let failures = 1; at <= outage; failures += 1) at += judgeRetry(defaultTiming, failures, random())
    return at
  }).sort((one, two) => one - two)
}

test('200 nodes that failed at the same moment have at most 20 requests open at once when the API node is back', () => {
  // Look, POST and look again, 100 ms each: a slow API node.
  const service = 300
  const random = mulberry(7)
  const peaks = [500, 3_000, 10_000, 60_000, 600_000, 3_600_000].map((outage) => {
    const returns = simulateReturn(outage, random)
    return Math.max(...returns.map((from) => returns.filter((at) => at >= from && at < from + service).length))
  })
  expect(peaks.filter((peak) => peak > 20)).toEqual([])
})

test('a node whose engine becomes ready posts at once, without looking first', async () => {
  const node = await rehearse()
  const serving = signal(false)
  await startPart([node], { serving, timing: { ...quick, verifyEvery: 600_000 } })
  await eventually('it looked ahead', () => gets(node).length === 1 && node.world.inFlight === 0)
  serving.value = true
  const [post] = await eventually('the POST', () => (posts(node).length > 0 ? posts(node) : undefined))
  const later = node.world.calls.slice(node.world.calls.indexOf(post as (typeof node.world.calls)[number]) + 1)
  expect(node.world.calls.filter((call) => call.method === 'GET' && !later.includes(call))).toHaveLength(1)
})

/** Small seeded generator: the same schedule in every run. */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
