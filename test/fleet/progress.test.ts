import { expect, test } from 'vitest'
import type { Observed, Step, Wanted } from '../../src/fleet/decide.ts'
import type { EnginePlan } from '../../src/fleet/plan.ts'
import { isSettled } from '../../src/fleet/progress.ts'

const plan = { owner: 'configuration', slot: 0, gpus: [0], model: 'A' } as unknown as EnginePlan
const engine: Observed = { id: 'e0', phase: 'serving', parked: false, plan }
const keep: Step = { do: 'keep', id: 'e0' }
const wanted: Wanted = { group: 'node', mode: 'run', resolved: { kind: 'planned', plans: [plan], notes: [] } }

test('a fleet that serves all that is wanted, or of which nothing is wanted, need not look often', () => {
  expect(isSettled(wanted, [engine], [keep])).toBe(true)
  expect(isSettled(undefined, [], [])).toBe(true)
})

test.each<[string, Wanted, Observed[], Step[]]>([
  ['an engine loads: people are told how far', wanted, [{ ...engine, phase: 'loading' }], [keep]],
  ['an engine is ended', wanted, [engine], [{ do: 'stop', id: 'e0', why: 'another model', drain: true }]],
  ['an engine waits for its next start', wanted, [], [{ do: 'wait', slot: 0, group: 'node', why: 'backs off' }]],
  ['files are looked for', { ...wanted, resolved: { kind: 'waiting', why: 'looking' } }, [], []],
  ['a grace runs out', { group: 'node', mode: 'parked', until: 5 }, [{ ...engine, parked: true }], [keep]],
])('it looks often while %s', (_, wish, observed, steps) => {
  expect(isSettled(wish, observed, steps)).toBe(false)
})
