import { expect, test } from 'vitest'
import { toLaunchArgs } from '../../src/fleet/launch-args.ts'
import { discoverGpus, type GpuAsk, shareGpus, toGpuAsk } from '../../src/fleet/launch-gpus.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import { toGpus } from './bed.ts'

const none = (why: string): Inventory => ({ kind: 'none', why })

test.each([
  ['2, 0,0', none('x'), [0, 2]],
  ['all', toGpus(3), [0, 1, 2]],
  ['ALL', toGpus(1), [0]],
  [undefined, toGpus(2), [0, 1]],
  ['', toGpus(2), [0, 1]],
  [undefined, none('nvidia-smi found no devices'), []],
])('CUDA_VISIBLE_DEVICES %j names the GPUs', (visible, inventory, expected) => {
  expect(discoverGpus(visible, inventory)).toEqual(expected)
})

const failed = { code: 'x', title: 'x', evidence: 'exit 9: no driver', remedy: 'x' }

test.each([
  ['GPU-ab', toGpus(1), "CUDA_VISIBLE_DEVICES must contain comma-separated integer GPU ids, got 'GPU-ab'"],
  ['0,-1', toGpus(1), 'CUDA_VISIBLE_DEVICES GPU ids must be >= 0, got -1'],
  [' , ', toGpus(1), 'CUDA_VISIBLE_DEVICES did not contain any GPU ids'],
  [
    undefined,
    none('nvidia-smi is not installed'),
    'Could not discover GPUs from connected host hardware because nvidia-smi is unavailable.',
  ],
  [
    undefined,
    { kind: 'failed', problem: failed } as const,
    'Failed to discover GPUs from nvidia-smi: exit 9: no driver',
  ],
])('GPUs that cannot be counted are a 400 with its reason: %j', (visible, inventory, message) => {
  expect(() => discoverGpus(visible, inventory)).toThrow(expect.objectContaining({ status: 400, message }) as Error)
})

test.each([
  [{ gpu_ids: [] }, [0, 1], 'gpu_ids cannot be empty'],
  [{ gpu_ids: [7] }, [0, 1], 'Requested GPUs are not available: [7]'],
  [{ gpu_ids: [-1, 9, 0] }, [0, 1], 'Requested GPUs are not available: [-1, 9]'],
  [{ gpu_ids: null }, [], 'No GPUs available for launch'],
  [{ gpu_ids: [0], gpu_count: 1 }, [0], 'gpu_ids and gpu_count exclude each other'],
  [{ gpu_ids: null, gpu_count: 3 }, [0, 1], 'Requested GPUs are not available: 3 of 2'],
  [{ gpu_ids: null, gpu_count: 0 }, [0, 1], 'gpu_count must be at least 1'],
])('a request that this machine can never fulfil is a 400: %j of %j', (wish, visible, message) => {
  expect(() => toGpuAsk(wish, visible)).toThrow(expect.objectContaining({ status: 400, message }) as Error)
})

const total = (gpu: number) => [80_000, 24_000, undefined][gpu]

test.each([
  [{ gpu_ids: [0, 1] }, 24_001, 'min_free_mib 24001 is more than they have in total (GPU 1: 24000 MiB)'],
  [
    { gpu_ids: null },
    90_000,
    'min_free_mib 90000 is more than they have in total (GPU 0: 80000 MiB, GPU 1: 24000 MiB)',
  ],
  [{ gpu_ids: null, gpu_count: 3 }, 30_000, 'min_free_mib 30000 is more than they have in total (GPU 1: 24000 MiB)'],
])('more memory than a GPU has in total is a 400 with what it has: %j, %d MiB', (wish, min_free_mib, message) => {
  const told = { status: 400, message: expect.stringContaining(message) as string }
  expect(() => toGpuAsk({ ...wish, min_free_mib }, [0, 1, 2], total)).toThrow(expect.objectContaining(told) as Error)
})

test.each([
  [{ gpu_ids: [0, 1] }, 24_000],
  [{ gpu_ids: [2] }, 999_999],
  [{ gpu_ids: null, gpu_count: 2 }, 80_000],
])('memory that could be free, or whose total is not known, may be waited for: %j, %d MiB', (wish, min_free_mib) => {
  expect(toGpuAsk({ ...wish, min_free_mib }, [0, 1, 2], total)).toMatchObject({ minFreeMiB: min_free_mib })
})

test('all visible GPUs are meant where none is named; named ones are sorted, each once', () => {
  expect(toGpuAsk({ gpu_ids: null }, [0, 1, 2])).toMatchObject({ gpus: [0, 1, 2] })
  expect(toGpuAsk({ gpu_ids: [2, 0, 2] }, [0, 1, 2])).toMatchObject({ gpus: [0, 2] })
})

const table = (held: Record<number, string>, free: Record<number, number> = {}) => ({
  visible: [0, 1, 2, 3],
  holder: (gpu: number) => held[gpu],
  freeMiB: (gpu: number) => free[gpu],
})
const named = (...gpus: number[]): GpuAsk => ({ gpus, minFreeMiB: 0 })
const some = (count: number, minFreeMiB = 0): GpuAsk => ({ count, minFreeMiB })
const toAsks = (asks: readonly GpuAsk[]) => asks.map((ask, at) => ({ id: `L${at + 1}`, ask }))
const given = (shares: ReturnType<typeof shareGpus>) =>
  [...shares].map(([id, share]) => (share.kind === 'given' ? [id, ...share.gpus] : [id]))

test('who waits for a GPU gets it before those that came later, and nobody takes what is kept for it', () => {
  const asks = toAsks([named(0, 1), named(1), some(2), some(1)])
  const busy = shareGpus(asks, table({ 0: 'other' }))
  expect(given(busy)).toEqual([['L1'], ['L2'], ['L3', 2, 3], ['L4']])
  expect(busy.get('L2')).toEqual({ kind: 'held', by: [{ gpu: 1, who: 'L1' }] })
  expect(given(shareGpus(asks, table({})))).toEqual([['L1', 0, 1], ['L2'], ['L3', 2, 3], ['L4']])
})

test('a number of GPUs keeps those that are free already, so that small ones do not starve a large one', () => {
  expect(given(shareGpus(toAsks([some(3), some(1)]), table({ 1: 'a', 2: 'b' })))).toEqual([['L1'], ['L2']])
})

test('GPUs with too little free memory are not picked; memory that is not known is no reason', () => {
  expect(given(shareGpus(toAsks([some(2, 1000)]), table({}, { 0: 10, 1: 999, 2: 1000 })))).toEqual([['L1', 2, 3]])
  const share = shareGpus(toAsks([{ gpus: [0], minFreeMiB: 11 }]), table({}, { 0: 10 })).get('L1')
  expect(share).toEqual({ kind: 'held', by: [{ gpu: 0, who: 'only 10 MiB free' }] })
})

const toArgs = (extra_kwargs: Record<string, unknown>, task: 'generate' | 'embed' = 'generate') =>
  toLaunchArgs({ model: 'm', task, extra_kwargs }, 2)

test('arguments of vllm.LLM become flags; no value can be taken for a flag', () => {
  const { args, model } = toArgs({
    max_model_len: 4096,
    'enforce-eager': true,
    enable_prefix_caching: false,
    hf_overrides: { a: [1] },
    seed: null,
    tokenizer: '--api-key=x',
  })
  expect(model).toBe('m')
  expect(args).toEqual([
    '--tensor-parallel-size=2',
    '--max-model-len=4096',
    '--enforce-eager',
    '--no-enable-prefix-caching',
    '--hf-overrides={"a":[1]}',
    '--tokenizer=--api-key=x',
  ])
  expect(toArgs({ model: 'other', tensor_parallel_size: 1 }, 'embed')).toEqual({
    model: 'other',
    args: ['--task=embed', '--tensor-parallel-size=1'],
  })
})

test.each([
  'host',
  'port',
  'api_key',
  'api-key',
  'API_KEY',
  'uds',
  'config',
  'served_model_name',
  'hos',
  'served',
  'api_key.x',
])('what the daemon owns is refused: %s', (key) => {
  expect(() => toArgs({ [key]: 'x' })).toThrow(expect.objectContaining({ status: 400 }) as Error)
})

test.each(['', '--port', 'a b', 'a=b', '1', 'é'])('what is no name of an argument is refused: %j', (key) => {
  expect(() => toArgs({ [key]: 'x' })).toThrow(expect.objectContaining({ status: 400 }) as Error)
})

test('a NUL, which no command line can carry, is refused at once; model is the model however it is spelled', () => {
  const told = { status: 400, message: expect.stringContaining('NUL') as string }
  expect(() => toArgs({ chat_template: 'a\0b' })).toThrow(expect.objectContaining(told) as Error)
  expect(toArgs({ Model: 'other' }).model).toBe('other')
})

test.each(['hf_token', 'hf-tok'])('a secret that would be in a command line is refused with its remedy: %s', (key) => {
  expect(() => toArgs({ [key]: 'hf_abc' })).toThrow(/^extra_kwargs\.hf_token: set HF_TOKEN in the env file instead$/)
})

test('null and a flag in its place are no secret: a client that sends them as ever is served', () => {
  expect(toArgs({ hf_token: null, seed: 1 }).args).toEqual(toArgs({ seed: 1 }).args)
  expect(toArgs({ hf_token: true, seed: 1 }).args).toEqual(toArgs({ seed: 1 }).args)
})
