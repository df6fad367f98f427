// Groups, clashes and spellings: pure.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pocGenerate, pocInit as schema } from '../../src/api/mlnode-poc.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { pickCallbackError } from '../../src/poc/callback-log.ts'
import { describePoc, type SeatFacts } from '../../src/poc/describe.ts'
import { judgeStatuses, pickEngine } from '../../src/poc/pick.ts'
import { describeProblem } from '../../src/poc/problems.ts'
import { defaultPace, judgeDelivery, lookEvery, noDeliveries, noGrowth } from '../../src/poc/progress.ts'
import { competes, groupOf, isGroupOf, type Round } from '../../src/poc/round.ts'
import { judgeRequest, toEngineGenerate, toEngineInit } from '../../src/poc/translate.ts'
import { model, pocInit } from './world.ts'

const round = (engines: number, group = 0, of = 1): Round => ({
  id: 'r',
  bootId: 'b',
  startedAt: '',
  model,
  engines,
  share: { group, of },
  request: schema.parse(pocInit()),
})

test('the groups of k engines are disjoint and together exactly the share of the caller', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.nat(8), (k, of, any) => {
      const group = any % of
      const far = 3 * k * of
      const mined = Array.from({ length: k }, (_, slot) => groupOf(round(k, group, of), slot)).flatMap((one) => {
        const { group_id, n_groups } = one ?? { group_id: far, n_groups: 1 }
        return Array.from({ length: far }, (_, at) => group_id + at * n_groups).filter((at) => at < far)
      })
      const asked = Array.from({ length: far }, (_, at) => group + at * of).filter((at) => at < far)
      expect(mined.sort((a, b) => a - b)).toEqual(asked)
    }),
  )
})

test('an engine that does not answer, or computes nothing, is not counted as one that mines', () => {
  const seat = (slot: number, more: object, grewAt = 100_000): SeatFacts => ({
    slot,
    port: 5001 + slot,
    serving: true,
    deliveries: noDeliveries,
    state: { kind: 'mining', roundId: 'r', growth: { ...noGrowth(grewAt), perSecond: 10 }, ...more },
  })
  const trouble = describeProblem('poc-status-unknown', 'engine 5002: no answer within 2 s')
  const shared = { planned: undefined, roundAt: 0, relayed: false, saveFailure: undefined, pace: defaultPace }
  const seats = [seat(0, {}), seat(1, { trouble }), seat(2, {}, 0)]
  const view = describePoc({ ...shared, round: round(3), seats, now: 100_000 })
  expect(view.summary).toBe('block 1000: 1 of 3 engines mine, 10.0 nonces/s')
  expect(view).toMatchObject({ health: 'degraded', problem: { code: 'poc-status-unknown' } })
})

test('an engine beyond the plan gets no group', () => {
  expect(groupOf(round(2), 2)).toBeUndefined()
})

test('an engine mines our group only if it is the same work in the same split', () => {
  const config = { ...schema.parse(pocInit()), group_id: 1, n_groups: 2, seq_len: 64, k_dim: 12 }
  expect(isGroupOf(config, round(2), 1)).toBe(true)
  for (const other of [
    { group_id: 0 },
    { n_groups: 3 },
    { block_hash: 'x' },
    { node_id: 4 },
    { seq_len: 128 },
    { public_key: '' },
  ])
    expect(isGroupOf({ ...config, ...other }, round(2), 1)).toBe(false)
})

test('only somebody else with the same block competes', () => {
  const going = schema.parse(pocInit())
  expect(competes(going, { ...going, node_id: 9 })).toBe(true)
  expect(competes(going, { ...going, public_key: 'x' })).toBe(true)
  expect(competes(going, { ...going, block_height: 1001, public_key: 'x' })).toBe(false)
  expect(competes(going, going)).toBe(false)
})

test('each generation is spoken to in words that it knows', () => {
  const newest = { ...pocInit(), params: { model, seq_len: 64, decode: false, max_tokens: 0, scheme: 'prefill' } }
  const request = schema.parse({ ...newest, batch_size: undefined })
  const spell = (profile: 'v0-overlay' | 'v1-overlay' | 'plugin', what = request) =>
    toEngineInit(what, { group_id: 0, n_groups: 1 }, { profile, url: undefined })
  const old = { model, seq_len: 64, k_dim: 12 }
  expect(spell('v0-overlay')['params']).toEqual(old)
  expect(spell('v0-overlay')).not.toHaveProperty('poc_stronger_rng')
  expect(spell('v0-overlay')).not.toHaveProperty('batch_size')
  expect(spell('v1-overlay')).toMatchObject({ params: old, poc_stronger_rng: false })
  expect(spell('plugin')['params']).toEqual({ ...old, decode: false, max_tokens: 0, scheme: 'prefill' })
  // What matters is never dropped: the engine refuses it in its own words.
  const decode = schema.parse({ ...newest, params: { ...newest.params, scheme: 'decode', max_tokens: 8 } })
  expect(spell('v1-overlay', decode)['params']).toEqual({ ...old, scheme: 'decode', max_tokens: 8 })
})

test('a stronger rng is refused where the engine would silently compute other vectors', () => {
  const request = schema.parse(pocInit({ poc_stronger_rng: true }))
  expect(judgeRequest(request, 'v0-overlay')).toContain('poc_stronger_rng')
  expect(judgeRequest(request, 'v1-overlay')).toBeUndefined()
})

test('validation and statistics reach the engine as they came', () => {
  const artifacts = [{ nonce: 1, vector_b64: 'AA', k_points_steps: [1] }]
  const stat_test = { dist_threshold: 0.4, p_value_threshold: 0.05 }
  const request = pocGenerate.parse({ ...pocInit(), nonces: [1], validation: { artifacts }, stat_test, unknown: 1 })
  const told = toEngineGenerate(request, { profile: 'plugin', url: 'http://relay' })
  expect(told).toMatchObject({ validation: { artifacts }, stat_test, url: 'http://relay', wait: false })
  expect(told).not.toHaveProperty('unknown')
})

test('work goes to the least busy engine that does not mine, else to the least busy', () => {
  const engine = (slot: number) =>
    new Upstream({ id: `${slot}`, slot, port: 1 + slot, model, hasPoc: true, state: 'serving' })
  const [a, b, c] = [engine(0), engine(1), engine(2)]
  const turn = b.begin()
  const candidates = [
    { upstream: a, mining: true },
    { upstream: b, mining: false },
    { upstream: c, mining: false },
  ]
  expect(pickEngine(candidates, 0)).toBe(c)
  turn[Symbol.dispose]()
  expect([pickEngine(candidates, 0), pickEngine(candidates, 1)]).toEqual([b, c])
  expect(pickEngine(candidates.slice(0, 1), 5)).toBe(a)
  expect(pickEngine([], 0)).toBeUndefined()
})

test.each([
  [[], 'NO_BACKENDS'],
  [['GENERATING', 'GENERATING'], 'GENERATING'],
  [['GENERATING', 'IDLE'], 'MIXED'],
  [['IDLE', 'IDLE'], 'IDLE'],
  [['IDLE', 'ERROR'], 'MIXED'],
  [['VALIDATING'], 'VALIDATING'],
])('statuses %j together are %s', (statuses, expected) => {
  expect(judgeStatuses(statuses.map((status, port) => ({ port, status })))).toBe(expected)
})

test('how long batches may stay away follows the interval in which the engines send them', () => {
  expect([undefined, '', 'often', '0', '1', '60'].map(judgeDelivery)).toEqual([
    45_000, 45_000, 45_000, 45_000, 17_000, 430_000,
  ])
})

test('the last line about a failing callback is what a log says', () => {
  expect(
    pickCallbackError(
      'ERROR callback failed: a\nERROR cuda out of memory\nERROR sender: timed out\nINFO artifact sent',
    ),
  ).toBe('ERROR sender: timed out')
  expect(pickCallbackError('INFO nothing\n')).toBeUndefined()
})

test('without a round nobody looks every two seconds', () => {
  expect(lookEvery(defaultPace, {})).toBe(2000)
  expect(lookEvery(defaultPace, undefined)).toBe(60_000)
})
