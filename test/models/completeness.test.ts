import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { judgeModelFolder, parseIndex } from '../../src/models/completeness.ts'
import { judgeRef } from '../../src/models/model-ref.ts'
import { tempDir } from '../support/temp-dir.ts'
import { renderSafetensors, shards, writeModel } from './model-folder.ts'

test('a whole model is complete, its weights in load order', async () => {
  const folder = await writeModel(await tempDir())
  expect(await judgeModelFolder(folder)).toEqual({ kind: 'complete', weights: shards })
})

test.for([
  ['a missing shard', (f: string) => rm(join(f, shards[1] ?? '')), 'model-00002-of-00003.safetensors is missing'],
  [
    'a truncated shard',
    (f: string) => truncate(join(f, shards[2] ?? ''), 3000),
    /model-00003.* has 3000 bytes instead of \d+/,
  ],
  ['an empty shard', (f: string) => truncate(join(f, shards[0] ?? ''), 0), /model-00001.* is empty/],
  ['a shard cut in its header', (f: string) => truncate(join(f, shards[0] ?? ''), 20), /truncated within its header/],
  [
    'a shard that is garbage',
    (f: string) => writeFile(join(f, shards[0] ?? ''), 'x'.repeat(500)),
    /no safetensors header/,
  ],
  [
    'a git-lfs pointer',
    (f: string) => writeFile(join(f, shards[0] ?? ''), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'),
    /git-lfs pointer/,
  ],
  ['no config.json', (f: string) => rm(join(f, 'config.json')), 'config.json is missing'],
  ['a half written config.json', (f: string) => writeFile(join(f, 'config.json'), '{"arch'), /config.json is not JSON/],
  ['no tokenizer', (f: string) => rm(join(f, 'tokenizer.json')), /no tokenizer file/],
  ['a broken index', (f: string) => writeFile(join(f, 'model.safetensors.index.json'), '{}'), /has no weight_map/],
  [
    'an index that leaves the folder',
    (f: string) => writeFile(join(f, 'model.safetensors.index.json'), '{"weight_map":{"a":"../../etc/passwd"}}'),
    /has no weight_map/,
  ],
  [
    'shard names without an index',
    async (f: string) => {
      await rm(join(f, 'model.safetensors.index.json'))
      await rm(join(f, shards[0] ?? ''))
    },
    'model-00001-of-00003.safetensors is missing',
  ],
] as const)('%s is named', async ([, damage, expected]) => {
  const folder = await writeModel(await tempDir())
  await damage(folder)
  const found = await judgeModelFolder(folder)
  expect(found.kind).toBe('incomplete')
  expect(found.kind === 'incomplete' ? found.wrong.join('; ') : '').toMatch(expected)
})

test('without weights a model is complete only where none are loaded', async () => {
  const folder = await tempDir()
  await writeFile(join(folder, 'config.json'), '{}')
  await writeFile(join(folder, 'tokenizer.json'), '{}')
  expect(await judgeModelFolder(folder)).toMatchObject({ kind: 'incomplete' })
  expect(await judgeModelFolder(folder, true)).toEqual({ kind: 'complete', weights: [] })
  await writeFile(join(folder, 'model.safetensors'), renderSafetensors(10))
  expect(await judgeModelFolder(folder)).toEqual({ kind: 'complete', weights: ['model.safetensors'] })
})

test('a folder that is not there is incomplete and says why', async () => {
  expect(await judgeModelFolder('/nowhere/model')).toMatchObject({ kind: 'incomplete', wrong: [/ENOENT/] })
})

test('an index names each file once', () => {
  expect(parseIndex({ weight_map: { a: 'b.st', c: 'a.st', d: 'b.st' } })).toEqual(['a.st', 'b.st'])
})

test.for([
  [{ repo: 'Qwen/Qwen3-32B' }, 'repository'],
  [{ repo: 'gpt2' }, 'repository'],
  [{ repo: 'Qwen/Qwen3-32B', revision: 'refs/pr/1' }, 'repository'],
  [{ repo: '/data/model' }, 'folder'],
  [{ repo: 's3://bucket/model' }, 'remote'],
  [{ repo: '../../etc' }, 'invalid'],
  [{ repo: 'a/../b' }, 'invalid'],
  [{ repo: '/data/../etc' }, 'invalid'],
  [{ repo: 'Qwen/Qwen3-32B', revision: '../../x' }, 'invalid'],
  [{ repo: 'a/b/c' }, 'invalid'],
  [{ repo: '' }, 'invalid'],
  [{ repo: 'a b' }, 'invalid'],
] as const)('%j is a %s', ([ref, kind]) => {
  expect(judgeRef(ref)).toBe(kind)
})
