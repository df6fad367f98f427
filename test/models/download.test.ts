import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../../src/core/watch.ts'
import { parseListing } from '../../src/models/hub.ts'
import { pickFiles } from '../../src/models/pick-files.ts'
import { rehearsalCommit } from '../../src/rehearsal/hub.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { shards, writeModel } from './model-folder.ts'
import { bound, isMissing, isReady, repo, startWorld } from './rehearsal-models.ts'

test('an absent model is downloaded into the layout in which engines find it offline', async () => {
  const { models, hfHome, source } = await startWorld()
  const { path } = await until(models.files({ repo }), isReady, bound())
  expect(path).toBe(join(hfHome, 'hub/models--org--model/snapshots', rehearsalCommit(repo)))
  for (const name of shards) expect(await readFile(join(path, name))).toEqual(await readFile(join(source, name)))
  expect(await readlink(join(path, shards[0] ?? ''))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/)
  expect(await readlink(join(path, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/)
  expect(await readFile(join(hfHome, 'hub/models--org--model/refs/main'), 'utf8')).toBe(rehearsalCommit(repo))
  expect(models.status.peek().health).toBe('ok')
})

test('a model that is complete in the cache needs no network at all', async () => {
  const { models, hub, again } = await startWorld()
  await until(models.files({ repo }), isReady, bound())
  await models.end('restart')
  const before = hub.requests.length
  await until(again().files({ repo }), isReady, bound())
  expect(hub.requests.length).toBe(before)
})

test('the token goes to the hub and never to the CDN that it redirects to', async () => {
  const { models, hub } = await startWorld({ knobs: { token: 'hf_secret' }, settings: { token: 'hf_secret' } })
  await until(models.files({ repo }), isReady, bound())
  expect(hub.requests.filter((one) => one.at === 'hub').every((one) => one.token)).toBe(true)
  expect(hub.requests.some((one) => one.at === 'cdn')).toBe(true)
  expect(hub.requests.filter((one) => one.at === 'cdn').some((one) => one.token)).toBe(false)
})

test('a connection that breaks again and again is resumed where it stopped', async () => {
  const { models, hub, source } = await startWorld({ bytes: 400_000, knobs: { breakAfter: 100_000, breakTimes: 6 } })
  const { path } = await until(models.files({ repo }), isReady, bound())
  for (const name of shards)
    expect((await readFile(join(path, name))).equals(await readFile(join(source, name)))).toBe(true)
  expect(hub.requests.filter((one) => /^bytes=[1-9]/.test(one.range ?? '')).length).toBeGreaterThan(2)
})

test('a model half downloaded by an earlier daemon goes on from there', async () => {
  const { models, hub, again, hfHome } = await startWorld({ bytes: 400_000, knobs: { speed: 100_000 } })
  const files = models.files({ repo })
  const blobs = join(hfHome, 'hub/models--org--model/blobs')
  await eventually('some bytes', async () => {
    const partial = (await readdir(blobs)).filter((name) => name.endsWith('.incomplete'))
    const sizes = await Promise.all(partial.map(async (name) => (await stat(join(blobs, name))).size))
    return sizes.some((size) => size > 5000)
  })
  expect(files.peek().kind).toBe('downloading')
  await models.end('restart')
  hub.knobs.speed = 0
  const before = hub.requests.length
  const next = again()
  expect(await next.onDisk.status({ repo })).toMatchObject({ status: 'PARTIAL' })
  await until(next.files({ repo }), isReady, bound())
  expect(hub.requests.slice(before).some((one) => /^bytes=[1-9]/.test(one.range ?? ''))).toBe(true)
})

test('a server that ignores Range, ends early or sends a wrong byte does not get a wrong file past us', async () => {
  const { models, source } = await startWorld({
    bytes: 50_000,
    knobs: { noRange: true, truncateTimes: 2, corruptTimes: 1, lfsFrom: 10_000 },
  })
  const { path } = await until(models.files({ repo }), isReady, bound())
  for (const name of shards)
    expect((await readFile(join(path, name))).equals(await readFile(join(source, name)))).toBe(true)
})

test('content that never fits its hash is given up, and nothing of it is kept', async () => {
  const { models, hfHome } = await startWorld({ knobs: { corruptTimes: Infinity } })
  const { problem } = await until(models.files({ repo }), isMissing, bound())
  expect(problem).toMatchObject({ code: 'model-download-failed', evidence: expect.stringContaining('hash') })
  const snapshots = await readdir(join(hfHome, 'hub/models--org--model/snapshots')).catch(() => [])
  expect(snapshots).toEqual([])
})

test('a transfer that stops coming is noticed and given up after its bound', async () => {
  const { models } = await startWorld({ knobs: { stall: true }, deps: { stallTimeout: 300, giveUpAfter: 700 } })
  const { problem } = await until(models.files({ repo }), isMissing, bound())
  expect(problem.code).toBe('hub-unreachable')
})

test.for([
  ['a wrong token', { token: 'right' }, 'hub-unauthorized'],
  ['a 403', { status: 403 }, 'hub-unauthorized'],
  ['a hub that has no such model', { status: 404 }, 'model-not-found'],
  ['a hub that stays unwell', { status: 503 }, 'hub-unreachable'],
] as const)('%s is its own problem, and the model comes once it is solved', async ([, knobs, code]) => {
  const { models, hub } = await startWorld({ knobs, settings: { token: 'right-later' }, deps: { giveUpAfter: 100 } })
  const files = models.files({ repo })
  const { problem } = await until(files, isMissing, bound())
  expect(problem.code).toBe(code)
  expect(JSON.stringify(problem)).not.toContain('right-later')
  Object.assign(hub.knobs, { token: 'right-later', status: undefined })
  await until(files, isReady, bound())
})

test('a hub that cannot be reached is said with its address', async () => {
  const { models } = await startWorld({ settings: { endpoint: 'http://127.0.0.1:9' }, deps: { giveUpAfter: 100 } })
  const { problem } = await until(models.files({ repo }), isMissing, bound())
  expect(problem).toMatchObject({ code: 'hub-unreachable', evidence: expect.stringContaining('127.0.0.1:9') })
})

test('offline nothing is asked for, and what is missing is named', async () => {
  const { models, hub, hfHome } = await startWorld({ settings: { offline: true } })
  expect((await until(models.files({ repo }), isMissing, bound())).problem.code).toBe('model-offline')
  const snapshot = await writeModel(join(hfHome, 'hub/models--org--other/snapshots/abc'))
  await rm(join(snapshot, shards[1] ?? ''))
  const { problem } = await until(models.files({ repo: 'org/other' }), isMissing, bound())
  expect(problem).toMatchObject({ code: 'model-incomplete', evidence: expect.stringContaining(shards[1] ?? '') })
  expect(await models.onDisk.download({ repo })).toBe('ignored')
  expect(hub.requests).toEqual([])
})

test('a model that does not fit on the disk is refused before its first byte', async () => {
  const { models, hub } = await startWorld()
  const listing = {
    sha: 'a'.repeat(40),
    siblings: [{ rfilename: 'model.safetensors', size: 1e15, blobId: 'b'.repeat(40) }],
  }
  const { createServer } = await import('node:http')
  const huge = createServer((_, answer) => void answer.end(JSON.stringify(listing)))
  await new Promise<void>((resolve) => huge.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void huge.close())
  const { port } = huge.address() as import('node:net').AddressInfo
  await models.end('stop')
  const small = await startWorld({ settings: { endpoint: `http://127.0.0.1:${port}` } })
  const { problem } = await until(small.models.files({ repo }), isMissing, bound())
  expect(problem.code).toBe('model-disk-too-small')
  expect(hub.requests).toEqual([])
})

test('a cache that cannot be written is a problem, not a crash', async () => {
  const file = join(await tempDir(), 'file')
  await writeFile(file, 'in the way')
  const { models } = await startWorld({ settings: { hfHome: file } })
  const { problem } = await until(models.files({ repo }), isMissing, bound())
  expect(problem.code).toBe('model-cache-unwritable')
})

test('an incomplete cache is repaired from the hub', async () => {
  const { models, again, hfHome } = await startWorld()
  const { path } = await until(models.files({ repo }), isReady, bound())
  await models.end('restart')
  await rm(join(hfHome, 'hub/models--org--model/snapshots', path.split('/').at(-1) ?? '', shards[2] ?? ''))
  await until(again().files({ repo }), isReady, bound())
  expect((await stat(join(path, shards[2] ?? ''))).size).toBeGreaterThan(5000)
})

test('an absolute folder is taken as it is and never downloaded', async () => {
  const { models, hub, source } = await startWorld()
  expect(await until(models.files({ repo: source }), isReady, bound())).toEqual({ kind: 'ready', path: source })
  expect((await until(models.files({ repo: '/nowhere' }), isMissing, bound())).problem.code).toBe(
    'model-folder-missing',
  )
  expect(hub.requests).toEqual([])
})

test('a listing whose paths leave the folder is refused', () => {
  const listing = (rfilename: string) =>
    JSON.stringify({ sha: 'a'.repeat(40), siblings: [{ rfilename, size: 1, blobId: 'b'.repeat(40) }] })
  expect(parseListing('a/b', listing('x/y.json')).files).toHaveLength(1)
  for (const bad of ['../x', '/etc/passwd', 'a/../../b', ''])
    expect(() => parseListing('a/b', listing(bad))).toThrow('bad file name')
  for (const bad of ['{}', 'nonsense', '{"sha":"../../x","siblings":[]}'])
    expect(() => parseListing('a/b', bad)).toThrow('listing of a/b')
})

test('other formats of the same weights are left out', () => {
  const file = (path: string) => ({ path, size: 1, hash: 'a', algorithm: 'sha256' as const })
  const names = (paths: string[]) => pickFiles(paths.map(file)).map((one) => one.path)
  expect(
    names([
      'config.json',
      'model.safetensors',
      'pytorch_model.bin',
      'original/x.pth',
      'README.md',
      'consolidated.safetensors',
    ]),
  ).toEqual(['config.json', 'model.safetensors'])
  expect(names(['config.json', 'pytorch_model.bin'])).toEqual(['config.json', 'pytorch_model.bin'])
})

test('the routes: status, a second download 409, too many 429, delete cancels and then deletes, then 404', async () => {
  const { models, hub } = await startWorld({ bytes: 200_000, knobs: { speed: 50_000 } })
  const { onDisk } = models
  for (const name of ['b', 'c', 'd']) await writeModel(join(hub.root, 'org', name))
  expect(await onDisk.status({ repo })).toEqual({ status: 'NOT_FOUND' })
  expect(await onDisk.download({ repo })).toBe('started')
  expect(await onDisk.status({ repo })).toMatchObject({ status: 'DOWNLOADING', startedAt: expect.any(Date) })
  await expect(onDisk.download({ repo })).rejects.toMatchObject({ status: 409 })
  await onDisk.download({ repo: 'org/b' })
  await onDisk.download({ repo: 'org/c' })
  await expect(onDisk.download({ repo: 'org/d' })).rejects.toMatchObject({ status: 429 })
  expect((await onDisk.list()).map((one) => one.model.repo)).toEqual(['org/b', 'org/c', 'org/model'])
  expect(await onDisk.remove({ repo })).toBe('cancelled')
  hub.knobs.speed = 0
  await eventually('b is there', async () => (await onDisk.status({ repo: 'org/b' })).status === 'DOWNLOADED')
  expect((await onDisk.space()).cacheBytes).toBeGreaterThan(15_000)
  const inUse = { code: 'model-in-use', status: 409, message: 'org/b is in use by engine 0 (serving)' }
  await expect(onDisk.remove({ repo: 'org/b' }, ['engine 0 (serving)'])).rejects.toMatchObject(inUse)
  expect((await onDisk.status({ repo: 'org/b' })).status).toBe('DOWNLOADED')
  expect(await onDisk.remove({ repo: 'org/b' })).toBe('deleted')
  await expect(onDisk.remove({ repo: 'org/b' })).rejects.toMatchObject({ status: 404 })
  await expect(onDisk.status({ repo: '../../../etc' })).rejects.toMatchObject({ status: 400 })
})

test('a model that was deleted on purpose stays away until it is asked for again', async () => {
  const { models, hfHome } = await startWorld()
  const files = models.files({ repo })
  await until(files, isReady, bound())
  await models.onDisk.remove({ repo })
  expect((await until(files, isMissing, bound())).problem.code).toBe('model-removed')
  await models.onDisk.download({ repo })
  await until(files, isReady, bound())
  expect(await readdir(join(hfHome, 'hub'))).toEqual(['models--org--model'])
})

test('what another downloader left half done is used, and its garbage is found out by the hash', async () => {
  const { models, hfHome, source } = await startWorld({ bytes: 20_000 })
  const blobs = join(hfHome, 'hub/models--org--model/blobs')
  await mkdir(blobs, { recursive: true })
  const { createHash } = await import('node:crypto')
  const content = await readFile(join(source, shards[0] ?? ''))
  const hash = createHash('sha256').update(content).digest('hex')
  await writeFile(join(blobs, `${hash}.incomplete`), 'garbage '.repeat(100))
  const { path } = await until(models.files({ repo }), isReady, bound())
  expect((await readFile(join(path, shards[0] ?? ''))).equals(content)).toBe(true)
})
