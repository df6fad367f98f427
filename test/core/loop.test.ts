import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { judgeBackoff } from '../../src/core/backoff.ts'
import type { Clock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { startLoop } from '../../src/core/loop.ts'

const policy = { first: 100, factor: 2, cap: 1000, jitter: 0, stable: 10_000 }

/** A clock whose waits end at once and are written down. */
function recordingClock(stopAfter: number, abort: AbortController): Clock & { waits: number[] } {
  const waits: number[] = []
  return {
    waits,
    wall: () => 0,
    now: () => 0,
    wait: async (ms) => {
      waits.push(ms)
      if (waits.length >= stopAfter) abort.abort()
      await Promise.resolve()
    },
  }
}

test('a failing body is tried again with growing waits, and a good run forgets the failures', async () => {
  const abort = new AbortController()
  const clock = recordingClock(6, abort)
  const outcomes = [false, false, false, true, false, false]
  const body = async () => {
    if (outcomes.shift() === false) throw new Error('no')
  }
  await startLoop('test', body, { log: silentLog, abort: abort.signal, every: 7, backoff: policy, clock }).ended
  expect(clock.waits).toEqual([100, 200, 400, 7, 100, 200])
})

test('the pace is asked for after each run', async () => {
  const abort = new AbortController()
  const clock = recordingClock(3, abort)
  let runs = 0
  const body = async () => void (runs += 1)
  const every = () => runs * 10
  await startLoop('test', body, { log: silentLog, abort: abort.signal, every, backoff: policy, clock }).ended
  expect(clock.waits).toEqual([10, 20, 30])
})

test('jitter spreads a wait around its value and the cap holds before jitter', () => {
  const jittered = { ...policy, jitter: 0.5 }
  expect([0, 0.5, 1].map((random) => judgeBackoff(jittered, 10, random))).toEqual([500, 1000, 1500])
})

test('a wake ends the wait at once, also one that came while the body ran', async () => {
  const abort = new AbortController()
  const wake = signal(0)
  let runs = 0
  const body = async () => {
    runs += 1
    if (runs === 1) wake.value += 1
    if (runs === 2) queueMicrotask(() => (wake.value += 1))
    if (runs === 3) abort.abort()
  }
  await startLoop('test', body, { log: silentLog, abort: abort.signal, every: 3_600_000, wake }).ended
  expect(runs).toBe(3)
})

test('a loop whose signal is aborted already never runs its body', async () => {
  let runs = 0
  const body = async () => void (runs += 1)
  await startLoop('test', body, { log: silentLog, abort: AbortSignal.abort(), every: 1 }).ended
  expect(runs).toBe(0)
})
