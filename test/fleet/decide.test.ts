import { expect, test } from 'vitest'
import { decide, type Observed, type Situation, type Step, type Wanted } from '../../src/fleet/decide.ts'
import type { GpuHolder } from '../../src/fleet/leases.ts'
import type { EnginePlan, Resolved } from '../../src/fleet/plan.ts'

const problem = { code: 'x', title: 'it broke', evidence: 'line 7', remedy: 'mend it' }

function planOf(slot: number, more: Partial<EnginePlan> = {}): EnginePlan {
  return {
    owner: 'configuration',
    slot,
    gpus: [slot],
    model: 'A',
    modelPath: '/a',
    profile: 'plugin',
    python: 'python',
    hasPoc: true,
    args: [],
    env: {},
    ...more,
  }
}

const engine = (slot: number, more: Partial<Observed> = {}): Observed => ({
  id: `e${slot}`,
  phase: 'serving',
  parked: false,
  plan: planOf(slot),
  ...more,
})

const run = (...plans: EnginePlan[]): Wanted => ({
  group: 'node',
  mode: 'run',
  resolved: { kind: 'planned', plans, notes: [] },
})
const unresolved = (resolved: Resolved): Wanted => ({ group: 'node', mode: 'run', resolved })
const parked = (until: number): Wanted => ({ group: 'node', mode: 'parked', until })

/** Leases follow from what is observed, as in the fleet, unless said otherwise. */
function decideFor(wanted: readonly Wanted[], observed: readonly Observed[], more: Partial<Situation> = {}): string[] {
  return toSteps(wanted, observed, more).map(describe)
}

function toSteps(wanted: readonly Wanted[], observed: readonly Observed[], more: Partial<Situation> = {}): Step[] {
  const holderOf = (gpu: number): GpuHolder => {
    const found = observed.find((one) => one.plan.gpus.includes(gpu))
    return found ? { kind: 'leased', life: found.id } : { kind: 'free' }
  }
  const same = (one: EnginePlan, other: EnginePlan) =>
    one.model === other.model && one.args.join() === other.args.join()
  return decide({ wanted, observed, gpu: holderOf, restart: () => ({ kind: 'now' }), same, now: 100, ...more })
}

function describe(step: Step): string {
  if (step.do === 'start') return `start ${step.plan.slot}`
  if (step.do === 'wait') return `wait ${step.slot}${step.problem ? ` ${step.problem.code}` : ''}`
  return `${step.do} ${step.id}${step.do === 'stop' && step.drain ? ' drained' : ''}`
}

const loading = { phase: 'loading' } as const
const ending = { phase: 'ending' } as const
const other = (slot: number) => planOf(slot, { args: ['--enforce-eager'] })

test.each<[string, Wanted[], Observed[], string[]]>([
  ['nothing wanted, nothing there', [], [], []],
  ['nothing wanted: what lives is ended', [], [engine(0), engine(1, loading)], ['stop e0 drained', 'stop e1']],
  ['all start at once', [run(planOf(0), planOf(1))], [], ['start 0', 'start 1']],
  [
    'what is wanted and lives is kept',
    [run(planOf(0), planOf(1))],
    [engine(0), engine(1, loading)],
    ['keep e0', 'keep e1'],
  ],
  ['only the missing one starts', [run(planOf(0), planOf(1))], [engine(1)], ['start 0', 'keep e1']],
  ['a stop parks', [parked(200)], [engine(0), engine(1, loading)], ['park e0', 'park e1']],
  ['what is parked stays so', [parked(200)], [engine(0, { parked: true })], ['keep e0']],
  ['the grace over, it ends without a drain', [parked(100)], [engine(0, { parked: true })], ['stop e0']],
  ['an equivalent wish un-parks', [run(planOf(0))], [engine(0, { parked: true })], ['unpark e0']],
  ['another wish ends first', [run(other(0))], [engine(0)], ['stop e0 drained', 'wait 0']],
  ['and starts when the old one is gone', [run(other(0))], [engine(0, ending)], ['wait 0']],
  [
    'an engine on other GPUs is another one',
    [run(planOf(0))],
    [engine(0, { plan: planOf(0, { gpus: [3] }) })],
    ['stop e0 drained', 'wait 0'],
  ],
  ['an engine too many is ended', [run(planOf(0))], [engine(0), engine(1)], ['stop e1 drained', 'keep e0']],
  [
    'two of the same: one is kept',
    [run(planOf(0))],
    [engine(0), engine(0, { id: 'twin' })],
    ['stop twin drained', 'keep e0'],
  ],
  ['facts are missing: engines stay', [unresolved({ kind: 'waiting', why: 'GPUs' })], [engine(0)], ['keep e0']],
  ['the world stands against it: engines stay', [unresolved({ kind: 'blocked', problem })], [engine(0)], ['keep e0']],
  [
    'on CPU the old engine has to be gone',
    [run(planOf(0, { gpus: [], model: 'B' }))],
    [engine(1, { plan: planOf(1, { gpus: [] }) })],
    ['stop e1 drained', 'wait 0'],
  ],
])('%s', (_, wanted, observed, steps) => {
  expect(decideFor(wanted, observed)).toEqual(steps)
})

test("launches and the node do not take each other's GPUs, and end each for themselves", () => {
  const launch: Wanted = { ...run(planOf(0, { owner: 'launch:1' })), group: 'launch:1' }
  expect(decideFor([run(planOf(0), planOf(1)), launch], [])).toEqual(['start 0', 'start 1', 'wait 0'])
  const living = engine(0, { id: 'l1', plan: planOf(0, { owner: 'launch:1' }) })
  expect(decideFor([run(planOf(0)), launch], [living])).toEqual(['wait 0 gpu-held-by-launch', 'keep l1'])
  expect(decideFor([parked(200)], [living, engine(1)])).toEqual(['park e1', 'stop l1 drained'])
})

test('an engine that failed waits for its turn, and its GPUs are asked for only then', () => {
  const restart = () => ({ kind: 'backing-off', until: 150, problem }) as const
  expect(decideFor([run(planOf(0))], [], { restart })).toEqual(['wait 0 x'])
})

test('a launch on a GPU of the node is named with its id and with what ends it, until it ends by itself', () => {
  const told = (phase: Observed['phase']) => {
    const living = engine(0, { id: 'l1', phase, plan: planOf(0, { owner: 'launch:abc' }) })
    return toSteps([run(planOf(0))], [living]).flatMap((step) => (step.do === 'wait' ? [step.problem] : []))
  }
  expect(told('serving')).toEqual([
    expect.objectContaining({
      code: 'gpu-held-by-launch',
      evidence: 'GPU 0 is held by launch abc',
      remedy: expect.stringContaining('gonka-node stop abc') as string,
    }),
  ])
  expect(told('ending')).toEqual([undefined])
})

test('foreign memory holds back only the engine that needs that GPU', () => {
  const gpu = (index: number): GpuHolder =>
    index === 0 ? { kind: 'foreign', usedMiB: 9000, totalMiB: 80_000 } : { kind: 'free' }
  expect(decideFor([run(planOf(0), planOf(1))], [], { gpu })).toEqual(['wait 0 gpu-memory-taken', 'start 1'])
})
