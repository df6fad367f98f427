import { signal } from '@preact/signals-core'
import { readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { until } from '../../src/core/watch.ts'
import type { Files } from '../../src/models/files.ts'
import { type PageCacheDeps, planFiles, runReader, startPageCache } from '../../src/models/page-cache.ts'
import { eventually } from '../support/eventually.ts'
import { openPageCacheRecord, type WeightFile } from '../../src/models/page-cache-record.ts'
import { tempDir } from '../support/temp-dir.ts'
import { renderSafetensors, writeModel } from './model-folder.ts'
import { bound } from './rehearsal-models.ts'

function start(stateDir: string, files: Files, deps: Partial<PageCacheDeps> = {}) {
  const state = signal<Files>(files)
  const cache = startPageCache({
    files: state,
    readers: 4,
    stateDir,
    log: silentLog,
    waits: 'waiting',
    bootId: 'boot-1',
    ...deps,
  })
  onTestFinished(() => cache.end('stop'))
  return { cache, state }
}

type PageCacheFile = { bootId: string; models: { path: string; bytes: number; isWhole: boolean }[] }

const readRecord = async (stateDir: string) =>
  JSON.parse(await readFile(join(stateDir, 'page-cache.json'), 'utf8')) as PageCacheFile

const isOver = (one: { health: string }) => one.health !== 'starting'

test('the weights are read once the model is ready, and once per boot', async () => {
  const [stateDir, path] = [await tempDir(), await writeModel(await tempDir(), 300_000)]
  const { cache, state } = start(stateDir, { kind: 'looking' })
  expect(cache.status.peek().health).toBe('starting')
  state.value = { kind: 'ready', path }
  expect((await until(cache.status, isOver, bound())).summary).toMatch(/read ahead in/)
  expect(await readRecord(stateDir)).toMatchObject({ bootId: 'boot-1', models: [{ path, isWhole: true }] })
  expect((await readRecord(stateDir)).models[0]?.bytes).toBeGreaterThan(900_000)
  const again = start(stateDir, { kind: 'ready', path })
  expect((await until(again.cache.status, isOver, bound())).summary).toMatch(/earlier in this boot/)
  const later = start(stateDir, { kind: 'ready', path }, { bootId: 'boot-2' })
  expect((await until(later.cache.status, isOver, bound())).summary).toMatch(/read ahead in/)
  // Another model in its place, by the same name.
  await utimes(join(path, 'model-00001-of-00003.safetensors'), 1, 1)
  const changed = start(stateDir, { kind: 'ready', path }, { bootId: 'boot-2' })
  expect((await until(changed.cache.status, isOver, bound())).summary).toMatch(/read ahead in/)
})

test('of two models in turn each is read once', async () => {
  const [stateDir, one, other] = [await tempDir(), await writeModel(await tempDir()), await writeModel(await tempDir())]
  const { cache, state } = start(stateDir, { kind: 'ready', path: one })
  await until(cache.status, isOver, bound())
  state.value = { kind: 'ready', path: other }
  await eventually('both are read', async () => (await readRecord(stateDir)).models.length === 2)
  const again = start(stateDir, { kind: 'ready', path: one })
  expect((await until(again.cache.status, isOver, bound())).summary).toMatch(/earlier in this boot/)
})

test('no more is read than fits into memory, in load order', async () => {
  const folder = await tempDir()
  const paths = ['a', 'b', 'c'].map((name) => join(folder, name))
  const files = paths.map((path) => ({ path, size: 1000 }))
  expect(planFiles(files, 1500.7)).toEqual([
    { path: paths[0], from: 0, bytes: 1000 },
    { path: paths[1], from: 0, bytes: 500 },
  ])
  expect(planFiles(files, 0)).toEqual([])
  // What was read before counts, and is not read again.
  expect(planFiles(files, 2500, 1200)).toEqual([
    { path: paths[1], from: 200, bytes: 800 },
    { path: paths[2], from: 0, bytes: 500 },
  ])
  expect(planFiles(files, 1000, 1200)).toEqual([])
  const { cache } = start(
    await tempDir(),
    { kind: 'ready', path: await writeModel(await tempDir()) },
    { memAvailable: () => 0 },
  )
  expect((await until(cache.status, isOver, bound())).health).toBe('off')
})

/** Takes no room on the disk. */
async function writeSparse(bytes: number): Promise<{ path: string; weights: WeightFile[] }> {
  const path = await tempDir()
  await writeFile(join(path, 'config.json'), '{}')
  await writeFile(join(path, 'tokenizer.json'), '{}')
  const head = renderSafetensors(bytes, 0)
  const file = join(path, 'model.safetensors')
  await writeFile(file, head)
  await truncate(file, head.length + bytes)
  const { size, mtimeMs } = await stat(file)
  return { path, weights: [{ path: file, size, mtimeMs }] }
}

test('how far it is gets noted on the way, since a kill leaves no moment for it, and at the end', async () => {
  // Far longer to read than this test lasts.
  const [stateDir, { path }] = [await tempDir(), await writeSparse(2 ** 36)]
  const { cache } = start(stateDir, { kind: 'ready', path }, { memAvailable: () => 2 ** 40, saveEvery: 50 })
  const first = await eventually('it is noted', async () => (await readRecord(stateDir)).models[0])
  expect(first).toMatchObject({ path, isWhole: false })
  expect(first.bytes).toBeGreaterThan(0)
  await cache.end('restart')
  const last = (await readRecord(stateDir)).models[0]
  expect(last).toMatchObject({ path, isWhole: false })
  expect(last?.bytes).toBeGreaterThanOrEqual(first.bytes)
})

test('who is started again amid the reading goes on where it was', async () => {
  const [stateDir, { path, weights }] = [await tempDir(), await writeSparse(2 ** 31)]
  const record = await openPageCacheRecord(stateDir, 'boot-1')
  await record.save(path, weights, { bytes: 1_500_000_000, isWhole: false })
  const { cache } = start(stateDir, { kind: 'ready', path }, { memAvailable: () => 2 ** 40 })
  const { summary } = await until(cache.status, isOver, bound())
  expect(summary).toMatch(/^0\.6 GB read ahead in [\d.]+ s, 1\.5 GB earlier in this boot$/)
  expect((await readRecord(stateDir)).models).toMatchObject([{ path, bytes: weights[0]?.size, isWhole: true }])
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
