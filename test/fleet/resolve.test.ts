import { expect, test } from 'vitest'
import { slices } from '../../src/config/schema.ts'
import type { EngineConfig } from '../../src/config/engine.ts'
import type { EnginePlan } from '../../src/fleet/plan.ts'
import { isSameAsk, isSamePlan, resolve, type ResolveFacts, toModelRef } from '../../src/fleet/resolve.ts'
import type { Ask } from '../../src/fleet/wish.ts'
import { toGpus } from './bed.ts'

const toEngine = (fields: Record<string, string> = {}): EngineConfig =>
  slices.engine.parse({ model: 'Test/A', ...fields })

function factsOf(more: Partial<ResolveFacts> = {}): ResolveFacts {
  return {
    config: toEngine(),
    files: { kind: 'ready', path: '/models/a' },
    inventory: toGpus(8),
    shape: { heads: 32, vocab: 128_000 },
    profile: { profile: 'v1-overlay', version: '0.20.0', cpu: false, why: 'test' },
    env: {},
    ...more,
  }
}

function plansOf(ask: Ask, more: Partial<ResolveFacts> = {}) {
  const found = resolve(ask, 'broker', factsOf(more))
  if (found.kind !== 'planned') throw new Error(JSON.stringify(found))
  return found.plans
}

test.each([
  [['--tensor-parallel-size', '4']],
  [['--tensor-parallel-size=4']],
  [['--tensor_parallel_size', '4']],
  [['-tp', '4']],
  [['-tp=2', '-tp', '4']],
])('the split of an order is read from %j', (args) => {
  expect(plansOf({ model: 'Test/B', dtype: 'auto', args }).map((one) => one.gpus)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ])
})

test('pipeline stages count, and what is left over is said', () => {
  const found = resolve({ model: 'Test/B', args: ['-tp', '2', '-pp', '3'] }, 'broker', factsOf())
  expect(found).toMatchObject({ kind: 'planned', plans: [{ gpus: [0, 1, 2, 3, 4, 5] }] })
  expect(found.kind === 'planned' && found.notes.join()).toContain('2 of 8 GPUs stay unused')
})

test('an order that is silent about the split means that of the machine for its model, and none for another', () => {
  const config = toEngine({ tensorParallel: '4' })
  expect(plansOf({ model: 'Test/A', args: [] }, { config })).toHaveLength(2)
  expect(plansOf({ model: 'Test/B', args: [] }, { config })).toHaveLength(8)
})

test('GPUs keep the numbers of nvidia-smi where only some are visible', () => {
  const all = toGpus(4)
  const inventory = all.kind === 'known' ? { ...all, gpus: all.gpus.slice(2) } : all
  expect(plansOf({ model: 'Test/A' }, { inventory }).map((one) => one.gpus)).toEqual([[2], [3]])
})

test.each<[string, Partial<ResolveFacts>, object]>([
  [
    'too few GPUs',
    { config: toEngine({ tensorParallel: '16' }) },
    { kind: 'impossible', problem: { code: 'gpus-too-few' } },
  ],
  ['GPUs not counted yet', { inventory: { kind: 'unknown' } }, { kind: 'waiting' }],
  [
    'no GPU',
    { inventory: { kind: 'none', why: 'no nvidia-smi' } },
    { kind: 'impossible', problem: { code: 'gpus-absent' } },
  ],
  [
    'no GPU for stock',
    { inventory: { kind: 'none', why: 'x' }, profile: { profile: 'stock', version: '0.30.0', cpu: true, why: '' } },
    { kind: 'planned', plans: [{ gpus: [], hasPoc: false }] },
  ],
  [
    'a split that the heads do not allow',
    { config: toEngine({ tensorParallel: '5' }) },
    { kind: 'planned', plans: [{ gpus: [0, 1, 2, 3] }, { gpus: [4, 5, 6, 7] }] },
  ],
  [
    'such a split without the fallback',
    { config: toEngine({ tensorParallel: '5', autoTpFallback: 'false' }) },
    { kind: 'impossible', problem: { code: 'tensor-parallel-impossible' } },
  ],
])('%s', (_, facts, wanted) => {
  expect(resolve({ model: 'Test/A' }, 'configuration', factsOf(facts))).toMatchObject(wanted)
})

test.each([
  [{ model: 'Test/A', args: ['-tp', 'many'] }],
  [{ model: 'Test/A', args: ['--pipeline-parallel-size=0'] }],
  [{ model: 'Test/A', dtype: 'banana', args: [] }],
])('an order that vLLM would refuse at once is refused by us: %j', (ask) => {
  expect(resolve(ask, 'broker', factsOf())).toMatchObject({ kind: 'impossible', problem: { code: 'impossible-order' } })
})

test('a lowered split is what is launched, whatever the arguments said before', () => {
  const [plan] = plansOf({ model: 'Test/A', args: ['-tp', '5'] })
  expect(plan?.args.slice(-2)).toEqual(['--tensor-parallel-size', '4'])
})

test('auto means DTYPE where it is set, else what the GPUs can do', () => {
  const config = toEngine({ dtype: 'float16' })
  const own = plansOf({ model: 'Test/A' }, { config })[0]
  const ordered = plansOf({ model: 'Test/A', dtype: 'auto', args: [] }, { config })[0]
  expect(own && ordered && isSamePlan(own, ordered, 'float16')).toBe(true)
  const plain = plansOf({ model: 'Test/A', dtype: 'auto', args: [] })[0]
  expect(plain?.args).toEqual(['--dtype', 'bfloat16'])
})

test.each<[Ask, Ask, boolean]>([
  [{ model: 'Test/A' }, { model: 'Test/A', dtype: 'auto', args: ['--tensor-parallel-size=1'] }, true],
  [{ model: 'Test/A' }, { model: 'Test/A', dtype: 'float16', args: ['--dtype', 'bfloat16'] }, true],
  [{ model: 'Test/A' }, { model: 'Test/A', dtype: 'float16', args: [] }, false],
  [{ model: 'Test/A' }, { model: 'Test/A', dtype: 'auto', args: ['--enforce-eager'] }, false],
  [{ model: 'Test/A' }, { model: 'Test/B', dtype: 'auto', args: [] }, false],
  [{ model: 'Test/A', args: ['--port', '1', '--host=0.0.0.0'] }, { model: 'Test/A', args: [] }, true],
])('%j and %j are the same engine: %s', (one, other, same) => {
  expect(isSameAsk(one, other, toEngine(), 'bfloat16')).toBe(same)
})

test('another environment of the operator is another engine, another folder of the files is not', () => {
  const plan = plansOf({ model: 'Test/A' })[0] as EnginePlan
  expect(isSamePlan(plan, { ...plan, modelPath: '/elsewhere' }, 'bfloat16')).toBe(true)
  expect(isSamePlan(plan, { ...plan, env: { POC_BATCH_SIZE_DEFAULT: '16' } }, 'bfloat16')).toBe(false)
  expect(isSamePlan(plan, { ...plan, python: '/other/python' }, 'bfloat16')).toBe(false)
})

test('the files of a revision are those that the arguments name', () => {
  expect(toModelRef({ model: 'Test/A', args: ['--revision=abc'] }, toEngine())).toEqual({
    repo: 'Test/A',
    revision: 'abc',
  })
  expect(toModelRef({ model: 'Test/A' }, toEngine({ extraArgs: '--revision def' }))).toMatchObject({ revision: 'def' })
})

test('a model without weights is complete for an engine that makes them up', () => {
  const dummy = toEngine({ extraArgs: '--load-format dummy' })
  expect(toModelRef({ model: 'Test/A' }, dummy)).toMatchObject({ weightless: true })
  expect(toModelRef({ model: 'Test/A', args: ['--load_format=auto'] }, dummy)).not.toHaveProperty('weightless')
})
