import { mkdir, open, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readFingerprint } from '../../src/config/sources.ts'
import { whenConfigChanged } from '../../src/config/watch-files.ts'
import { configPlaces } from '../support/config-places.ts'

/** Starts to watch from what is there now. `poll` is long, so that what is noticed is noticed by an event. */
async function watching(file: string | undefined, options: { poll?: number; stable?: number } = {}) {
  const places = await configPlaces(file)
  const abort = new AbortController()
  onTestFinished(() => abort.abort())
  const fingerprint = await readFingerprint(places)
  const changed = whenConfigChanged({
    ...places,
    fingerprint,
    abort: abort.signal,
    poll: 3_600_000,
    stable: 50,
    ...options,
  })
  return { ...places, abort, changed }
}

const actions: [string, string | undefined, (file: string) => Promise<unknown>][] = [
  ['is written over', 'A=1\n', (file) => writeFile(file, 'A=2\n')],
  [
    'is replaced by rename',
    'A=1\n',
    async (file) => {
      await writeFile(`${file}.new`, 'A=2\n')
      await rename(`${file}.new`, file)
    },
  ],
  ['appears', undefined, (file) => writeFile(file, 'A=2\n')],
  ['is deleted', 'A=1\n', (file) => rm(file)],
  [
    'gets a drop-in in a folder that was not there',
    'A=1\n',
    async (file) => {
      await mkdir(`${file}.d`)
      await writeFile(join(`${file}.d`, 'a.env'), 'A=2\n')
    },
  ],
]

test.each(actions)('a file that %s is noticed', async (_name, before, act) => {
  const { file, folder, changed } = await watching(before)
  await act(file)
  expect(await changed).toBe(await readFingerprint({ file, folder }))
})

test('a change between reading and watching is noticed, also without an event', async () => {
  const places = await configPlaces('A=1\n')
  const fingerprint = await readFingerprint(places)
  await writeFile(places.file, 'A=2\n')
  const abort = AbortSignal.timeout(20_000)
  expect(await whenConfigChanged({ ...places, fingerprint, abort, poll: 3_600_000, stable: 20 })).toBeTypeOf('string')
})

test('a file whose folder is made later is found by the poll', async () => {
  const { root } = await configPlaces(undefined)
  const places = { file: join(root, 'later', 'x.env'), folder: join(root, 'later', 'x.env.d') }
  const changed = whenConfigChanged({
    ...places,
    fingerprint: await readFingerprint(places),
    abort: AbortSignal.timeout(20_000),
    poll: 30,
    stable: 20,
  })
  await mkdir(join(root, 'later'))
  await writeFile(places.file, 'A=1\n')
  expect(await changed).toBe(await readFingerprint(places))
})

test('what is written in pieces is taken whole', async () => {
  const { file, folder, changed } = await watching('A=1\n', { stable: 400 })
  const pieces = await open(file, 'w')
  for (const piece of ['API_NODES=a:1\n', 'CLIENT_', 'ID=0042\n', 'MODEL_NAME="m', '"\n']) {
    await pieces.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await pieces.close()
  expect(await changed).toBe(await readFingerprint({ file, folder }))
})

test('the same content written again, other files and touched times are no change', async () => {
  const { file, root, changed, abort } = await watching('A=1\n', { poll: 20, stable: 20 })
  await writeFile(file, 'A=1\n')
  await writeFile(join(root, 'other.env'), 'A=2\n')
  await utimes(file, 1, 1)
  const calm = whenConfigChanged({
    file: join(root, 'other.env'),
    folder: join(root, 'none'),
    fingerprint: 'something else',
    abort: AbortSignal.timeout(20_000),
    stable: 150,
  }).then(() => 'calm')
  expect(await Promise.race([changed, calm])).toBe('calm')
  abort.abort()
  expect(await changed).toBeUndefined()
})
