import { signal } from '@preact/signals-core'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { until } from '../../src/core/watch.ts'
import type { Files } from '../../src/models/files.ts'
import { type PageCacheDeps, planFiles, runReader, startPageCache } from '../../src/models/page-cache.ts'
import { tempDir } from '../support/temp-dir.ts'
import { renderSafetensors, writeModel } from './model-folder.ts'
import { bound } from './rehearsal-models.ts'

function start(stateDir: string, files: Files, deps: Partial<PageCacheDeps> = {}) {
  const state = signal<Files>(files)
  const cache = startPageCache({ files: state, readers: 4, stateDir, log: silentLog, bootId: 'boot-1', ...deps })
  onTestFinished(() => cache.end('stop'))
  return { cache, state }
}

const isOver = (one: { health: string }) => one.health !== 'starting'

test('the weights are read once the model is ready, and once per boot', async () => {
  const [stateDir, path] = [await tempDir(), await writeModel(await tempDir(), 300_000)]
  const { cache, state } = start(stateDir, { kind: 'looking' })
  expect(cache.status.peek().health).toBe('starting')
  state.value = { kind: 'ready', path }
  expect((await until(cache.status, isOver, bound())).summary).toMatch(/read ahead in/)
  const marker = await readFile(join(stateDir, 'page-cache.json'), 'utf8')
  expect(JSON.parse(marker)).toMatchObject({ bootId: 'boot-1', path, bytes: expect.any(Number) })
  expect((JSON.parse(marker) as { bytes: number }).bytes).toBeGreaterThan(900_000)
  const again = start(stateDir, { kind: 'ready', path })
  expect((await until(again.cache.status, isOver, bound())).summary).toMatch(/earlier in this boot/)
  const later = start(stateDir, { kind: 'ready', path }, { bootId: 'boot-2' })
  expect((await until(later.cache.status, isOver, bound())).summary).toMatch(/read ahead in/)
})

test('no more is read than fits into memory, in load order', async () => {
  const folder = await tempDir()
  const paths = ['a', 'b', 'c'].map((name) => join(folder, name))
  for (const path of paths) await writeFile(path, Buffer.alloc(1000))
  expect(await planFiles(paths, 1500.7)).toEqual([
    { path: paths[0], bytes: 1000 },
    { path: paths[1], bytes: 500 },
  ])
  expect(await planFiles(paths, 0)).toEqual([])
  const { cache } = start(
    await tempDir(),
    { kind: 'ready', path: await writeModel(await tempDir()) },
    { memAvailable: () => 0 },
  )
  expect((await until(cache.status, isOver, bound())).health).toBe('off')
})

test('an end while it reads stops the reader and leaves no marker', async () => {
  const [stateDir, path] = [await tempDir(), await tempDir()]
  await writeFile(join(path, 'config.json'), '{}')
  await writeFile(join(path, 'tokenizer.json'), '{}')
  // 64 GB that take no room on the disk, and far longer to read than this test lasts.
  const head = renderSafetensors(2 ** 36, 0)
  await writeFile(join(path, 'model.safetensors'), head)
  await truncate(join(path, 'model.safetensors'), head.length + 2 ** 36)
  const { cache } = start(stateDir, { kind: 'ready', path }, { memAvailable: () => 2 ** 40 })
  await until(cache.status, (one) => /reading ahead/.test(one.summary), bound())
  await cache.end('restart')
  await expect(readFile(join(stateDir, 'page-cache.json'))).rejects.toThrow('ENOENT')
})

test('a file that cannot be read ends the reader with its reason', async () => {
  const read = runReader(
    { files: [{ path: '/nowhere/x', bytes: 5 }], readers: 2 },
    new AbortController().signal,
    () => {},
  )
  await expect(read).rejects.toThrow(/ENOENT/)
})

test('PARALLEL_READERS=0 switches it off', async () => {
  const { cache } = start(await tempDir(), { kind: 'ready', path: '/nowhere' }, { readers: 0 })
  expect(cache.status.peek().health).toBe('off')
})
