import { expect, test } from 'vitest'
import { type Failure, judgeRestart, recordFailure } from '../../src/fleet/restart-policy.ts'

const problem = { code: 'x', title: 'it broke', evidence: 'line 7', remedy: 'mend it' }
const failure = (at: number, more: Partial<Failure> = {}): Failure => ({
  at,
  servedFor: 0,
  retry: 'transient',
  problem,
  random: 0.5,
  ...more,
})
const toList = (...all: Failure[]) => all.reduce<Failure[]>((list, next) => recordFailure(list, next), [])

test('waits grow with each failure', () => {
  const one = judgeRestart([failure(0)], 0)
  const three = judgeRestart([failure(0), failure(1), failure(2)], 2)
  expect(one).toMatchObject({ kind: 'backing-off', until: 500 })
  expect(three).toMatchObject({ kind: 'backing-off', until: 2002 })
  expect(judgeRestart([failure(0)], 500)).toEqual({ kind: 'now' })
})

test('the wait is spread, and the same each time it is asked for', () => {
  const untils = [0, 1].map((random) => judgeRestart([failure(0, { random })], 0))
  expect(untils).toMatchObject([{ until: 375 }, { until: 625 }])
})

test('a stable run forgets what was before it', () => {
  const before = [1, 2, 3, 4].map((at) => failure(at))
  expect(judgeRestart(toList(...before, failure(900_000, { servedFor: 600_000 })), 900_000)).toMatchObject({
    kind: 'backing-off',
    until: 900_500,
  })
})

test('five failures without a stable run are a crash loop: given up with the cause, tried again slowly', () => {
  const list = toList(...[1, 2, 3, 4, 5].map((at) => failure(at)))
  expect(judgeRestart(list, 5)).toMatchObject({
    kind: 'given-up',
    until: 600_005,
    problem: { code: 'engine-crash-loop', evidence: expect.stringContaining('line 7') as string },
  })
  expect(judgeRestart(list, 600_005)).toEqual({ kind: 'now' })
})

test('what starting again cannot cure is not tried again; what the host must cure is tried slowly', () => {
  expect(judgeRestart([failure(0, { retry: 'never' })], 1e9)).toEqual({ kind: 'given-up', problem })
  const host = Array.from({ length: 4 }, (_, at) => failure(at, { retry: 'host', wall: Date.UTC(2026, 0, 1) }))
  expect(judgeRestart([failure(0, { retry: 'host' })], 1)).toMatchObject({ kind: 'given-up', until: 60_000, problem })
  const fourth = judgeRestart(host, 4)
  expect(fourth).toMatchObject({ kind: 'given-up', until: 480_003 })
  expect(fourth).toMatchObject({ problem: { evidence: 'line 7; tried again at 00:08:00 UTC' } })
  expect(judgeRestart([...host, ...host], 4)).toMatchObject({ until: 600_003 })
})

test('the list of failures stays short', () => {
  expect(toList(...Array.from({ length: 100 }, (_, at) => failure(at)))).toHaveLength(32)
})

test('an engine that has served is never given up for good, whatever its log says', () => {
  const served = failure(0, { retry: 'never', servedFor: 3_600_000 })
  expect(judgeRestart([served], 0)).toMatchObject({ kind: 'backing-off', until: 500 })
  expect(judgeRestart([served, failure(9, { retry: 'never' })], 1e9)).toMatchObject({ kind: 'given-up' })
})

test('a start that came to nothing is tried again every few seconds, and is no crash', () => {
  const soon = Array.from({ length: 40 }, (_, at) => failure(at * 5000, { retry: 'soon' }))
  const crashes = [1, 2, 3, 4].map((at) => failure(at))
  const list = toList(...crashes, ...soon)
  expect(judgeRestart(list, 195_000)).toMatchObject({ kind: 'backing-off', until: 200_000 })
  expect(judgeRestart(toList(...crashes, ...soon.slice(0, 1)), 0)).toMatchObject({ until: 500 })
  expect(judgeRestart([...list, failure(200_000)], 200_001)).toMatchObject({ kind: 'given-up' })
})
