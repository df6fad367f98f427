import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { configPart, problemOf } from '../../src/config/config-part.ts'
import { loadOrLastGood, loadOrLastGoodOfRoot } from '../../src/config/last-good.ts'
import { configProblems } from '../../src/config/problems.ts'
import { configPlaces } from '../support/config-places.ts'

const good = 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\nMODEL_NAME=org/model\nSECRET_FRP_TOKEN=t0psecret\n'
const here = 'i-0123456789abcdef0'
const kept = (stateDir: string) => join(stateDir, 'last-good-config.json')

/** A node that has once started well. */
async function earning(more?: Parameters<typeof configPlaces>[1]) {
  const places = await configPlaces(good, more)
  expect(await loadOrLastGood(places, here)).toMatchObject({ kind: 'ok' })
  return places
}

test.each([
  ['a typo', `${good}NODE_PORT=eighty\n`, /NODE_PORT .*:5\): "eighty" is not a whole number/],
  ['a lost line', 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\n', /MODEL_NAME \(not set\)/],
  ['10 MB', Buffer.alloc(10 << 20, 'A=1\n'), /has 10485760 bytes/],
  ['binary', Buffer.from([1, 0, 2]), /is binary/],
  ['half a value', good.slice(0, -4).replace('t0p', '"t0p'), /quote that is not closed/],
  ['half a name', good.slice(0, good.indexOf('_ID=')), /middle of a line/],
  ['nothing at all, as a full disk leaves it', '', /is missing or empty/],
])(
  'a broken edit (%s) and a restart: the old configuration goes on, degraded, and says why',
  async (_name, edit, why) => {
    const places = await earning()
    await writeFile(places.file, edit)
    const loaded = await loadOrLastGood(places, here)
    expect(loaded).toMatchObject({
      kind: 'last-good',
      config: { registration: { clientId: '0042' }, engine: { model: 'org/model' } },
    })
    const status = configPart(loaded).status.value
    expect(status).toMatchObject({ health: 'degraded', summary: expect.stringContaining('last good') as string })
    expect(status.problem?.evidence).toMatch(why)
    expect(status.problem?.remedy).not.toBe('')
    expect(configProblems).toHaveProperty([status.problem?.code ?? ''])
    expect(loaded.secrets).toContain('t0psecret')
  },
)

test('a bad configuration does not become the last good one; the corrected one does', async () => {
  const places = await earning()
  await writeFile(places.file, 'CLIENT_ID=x\n')
  await loadOrLastGood(places, here)
  expect(await loadOrLastGood(places, here)).toMatchObject({ kind: 'last-good' })
  await writeFile(places.file, good.replace('0042', '0043'))
  expect(await loadOrLastGood(places, here)).toMatchObject({ kind: 'ok' })
  await rm(places.file)
  expect(await loadOrLastGood(places, here)).toMatchObject({
    kind: 'last-good',
    config: { registration: { clientId: '0043' } },
    problems: [{ code: 'config-missing' }],
  })
})

test('without a good one before, a bad configuration is bad and a missing file is waited for', async () => {
  const bad = await configPlaces('CLIENT_ID=x\n')
  const loaded = await loadOrLastGood(bad, here)
  expect(loaded.kind).toBe('bad')
  expect(configPart(loaded).status.value).toMatchObject({ health: 'failed', problem: { code: 'config-bad' } })
  const missing = await loadOrLastGood(await configPlaces(undefined), here)
  expect(missing.kind).toBe('missing')
  expect(configPart(missing).status.value).toMatchObject({ health: 'starting', problem: { code: 'config-missing' } })
})

test('the last good configuration is read by its owner alone', async () => {
  const { stateDir } = await earning()
  expect((await stat(kept(stateDir))).mode & 0o777).toBe(0o600)
})

test('an unchanged configuration is not written again', async () => {
  const places = await earning()
  const before = await stat(kept(places.stateDir))
  expect(await loadOrLastGood(places, here)).toMatchObject({ kind: 'ok' })
  expect((await stat(kept(places.stateDir))).ino).toBe(before.ino)
})

test('whoever only looks writes nothing', async () => {
  const places = await configPlaces(good)
  expect(await loadOrLastGood(places, here, false)).toMatchObject({ kind: 'ok' })
  await expect(stat(places.stateDir)).rejects.toThrow(/ENOENT/)
})

test('a disk that was copied to another machine does not make a second node of the same id', async () => {
  const places = await earning()
  await rm(places.file)
  const loaded = await loadOrLastGood(places, 'i-0fedcba9876543210')
  expect(loaded.kind).toBe('missing')
  expect(loaded.warnings.at(-1)?.message).toMatch(/kept on another machine/)
})

test('a state folder that cannot be written never keeps a good configuration from being used', async () => {
  const places = await configPlaces(good)
  await writeFile(places.stateDir, 'a file where the folder should be')
  const loaded = await loadOrLastGood(places, here)
  expect(loaded.kind).toBe('ok')
  expect(problemOf(loaded)).toMatchObject({ code: 'config-not-saved' })
  expect(configPart(loaded).status.value.health).toBe('degraded')
})

test.each([
  ['garbage', 'not JSON'],
  ['half of it', '{"version":1,"savedAt":"2026-01-01T00:00:00.000Z","machi'],
  ['another version', '{"version":9}'],
  [
    'variables that this version refuses',
    JSON.stringify({
      version: 1,
      savedAt: new Date().toISOString(),
      machine: here,
      variables: { CLIENT_ID: { value: 'x', origin: { kind: 'environment' } } },
    }),
  ],
])('a last good configuration that is %s is of no use, and no crash', async (_name, text) => {
  const places = await configPlaces('CLIENT_ID=x\n')
  await mkdir(places.stateDir)
  await writeFile(kept(places.stateDir), text)
  const loaded = await loadOrLastGood(places, here)
  expect(loaded.kind).toBe('bad')
  expect(loaded.warnings.at(-1)?.message).toMatch(/last good configuration is of no use/)
})

test('a bad value in the environment falls back to what the environment was', async () => {
  const places = await earning({ environment: { NODE_PORT: '8081' } })
  const loaded = await loadOrLastGood({ ...places, environment: { ...places.environment, NODE_PORT: 'x' } }, here)
  expect(loaded).toMatchObject({ kind: 'last-good', config: { listeners: { nodePort: 8081 } } })
})

test('on the last good configuration, folders are those that systemd names now', async () => {
  const places = await earning()
  const stateDir = join(places.root, 'moved')
  await rename(places.stateDir, stateDir)
  await writeFile(places.file, 'CLIENT_ID=x\n')
  const environment = { STATE_DIRECTORY: stateDir, RUNTIME_DIRECTORY: '/run/other' }
  const loaded = await loadOrLastGood({ ...places, environment }, here)
  expect(loaded).toMatchObject({ kind: 'last-good', config: { host: { stateDir, runDir: '/run/other' } } })
})

test('the evidence of a problem holds no secret', async () => {
  const places = await configPlaces(
    `${good}VLLM_ACCESS_KEY=hush1 hush1\nPOC_SIGNATURE_KEY=SIGNATURE\nREGISTRATION_JSON='{"auth_token":"hush2",\nHF_TOKEN=hush3\nHUGGING_FACE_HUB_TOKEN=hush4\n`,
  )
  const loaded = await loadOrLastGood(places, here)
  expect(loaded.kind).toBe('bad')
  expect(JSON.stringify([problemOf(loaded), loaded.warnings])).not.toMatch(/hush|t0psecret/)
  expect(loaded.secrets).toEqual(expect.arrayContaining(['hush2', 'hush3', 'hush4', 't0psecret']))
})

test('what is kept are the variables as they were, with their lines', async () => {
  const { stateDir, file } = await earning()
  const found = JSON.parse(await readFile(kept(stateDir), 'utf8')) as { variables: Record<string, unknown> }
  expect(found.variables['CLIENT_ID']).toEqual({ value: '0042', origin: { kind: 'file', path: file, line: 2 } })
})

test('what the privileged step falls back to is a copy of its own, never that of the service', async () => {
  const places = await earning()
  const path = join(places.root, 'of-root/last-good-config.json')
  await writeFile(places.file, 'CLIENT_ID=x\n')
  expect(await loadOrLastGoodOfRoot(places, { path, machine: here, keep: true })).toMatchObject({ kind: 'bad' })
  await writeFile(places.file, good)
  expect(await loadOrLastGoodOfRoot(places, { path, machine: here, keep: false })).toMatchObject({ kind: 'ok' })
  await expect(stat(path)).rejects.toThrow(/ENOENT/)
  expect(await loadOrLastGoodOfRoot(places, { path, machine: here, keep: true })).toMatchObject({ kind: 'ok' })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test.skipIf(process.getuid?.() !== 0)(
  'a copy that somebody else than root owns or can write is of no use to it',
  async () => {
    const places = await earning()
    const path = join(places.root, 'of-root/last-good-config.json')
    const load = () => loadOrLastGoodOfRoot(places, { path, machine: here, keep: true })
    await load()
    await writeFile(places.file, 'CLIENT_ID=x\n')
    expect(await load()).toMatchObject({ kind: 'last-good', config: { registration: { clientId: '0042' } } })
    await chown(path, 65_534, 0)
    const refused = {
      kind: 'bad',
      warnings: [{ message: expect.stringContaining('somebody else than root') as string }],
    }
    expect(await load()).toMatchObject(refused)
    await chown(path, 0, 65_534)
    await chmod(path, 0o620)
    expect(await load()).toMatchObject(refused)
  },
)

test('a fifo where the last good configuration should be is not waited for', async () => {
  const places = await configPlaces('CLIENT_ID=x\n')
  await mkdir(places.stateDir)
  execFileSync('mkfifo', [kept(places.stateDir)])
  const loaded = await loadOrLastGood(places, here)
  expect(loaded.warnings.at(-1)?.message).toMatch(/is no regular file/)
})
