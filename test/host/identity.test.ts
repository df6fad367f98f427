import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { judgeIdentity, readIdentity, writeIdentity } from '../../src/host/identity.ts'
import { createMetadata } from '../../src/host/metadata.ts'
import { voidState } from '../../src/host/void-state.ts'
import { type MetadataKnobs, startRehearsalMetadata } from '../../src/rehearsal/metadata.ts'
import { tempDir } from '../support/temp-dir.ts'

async function service(knobs: Partial<MetadataKnobs> = {}) {
  const started = await startRehearsalMetadata(knobs)
  onTestFinished(() => started.end())
  return started
}

async function machine(id: string): Promise<string> {
  const path = join(await tempDir(), 'machine-id')
  await writeFile(path, `${id}\n`)
  return path
}

test('an instance is known by its instance id, asked with a token', async () => {
  const imds = await service()
  const identity = await readIdentity({ stateDir: await tempDir(), metadata: createMetadata({ url: imds.url }) })
  expect(identity).toMatchObject({
    id: 'i-0123456789abcdef0',
    source: 'imds',
    instanceType: 'p5.48xlarge',
    availabilityZone: 'us-east-1a',
    changed: false,
  })
  expect(imds.requests[0]).toBe('PUT /latest/api/token')
  expect(imds.requests.filter((one) => one.startsWith('PUT'))).toHaveLength(1)
})

test('a service of version 1 only is never asked without a token: the machine id is taken', async () => {
  const imds = await service({ mode: 'v1-only' })
  const identity = await readIdentity({
    stateDir: await tempDir(),
    metadata: createMetadata({ url: imds.url }),
    machineIdPath: await machine('abc'),
  })
  expect(identity).toMatchObject({ id: 'abc', source: 'machine-id' })
  expect(imds.requests).toEqual(['PUT /latest/api/token'])
})

test('a service that hangs costs one bound, not the boot', async () => {
  const imds = await service({ mode: 'hang' })
  const began = performance.now()
  const metadata = createMetadata({ url: imds.url, timeout: 300 })
  const identity = await readIdentity({ stateDir: await tempDir(), metadata, machineIdPath: await machine('abc') })
  expect(identity.id).toBe('abc')
  expect(performance.now() - began).toBeLessThan(5000)
})

test('an absent service, one that closes at once, and `off` are all the same', async () => {
  const rude = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void rude.close())
  for (const url of ['http://127.0.0.1:9', 'off', `http://127.0.0.1:${(rude.address() as AddressInfo).port}`]) {
    expect(await createMetadata({ url }).get('meta-data/instance-id')).toMatchObject({ kind: 'absent' })
  }
})

test('a token that expired is renewed and the question asked again', async () => {
  const imds = await service()
  const metadata = createMetadata({ url: imds.url })
  imds.knobs.tokenSeconds = 0.05
  expect(await metadata.get('meta-data/instance-id')).toMatchObject({ kind: 'value' })
  imds.knobs.tokenSeconds = 60
  await new Promise((resolve) => setTimeout(resolve, 80))
  expect(await metadata.get('meta-data/instance-id')).toMatchObject({ kind: 'value' })
  expect(imds.requests.filter((one) => one.startsWith('PUT'))).toHaveLength(2)
})

test('an answer that is no instance id is not believed', async () => {
  const imds = await service({ instanceId: '<html>please log in</html>' })
  const identity = await readIdentity({
    stateDir: await tempDir(),
    metadata: createMetadata({ url: imds.url }),
    machineIdPath: await machine('abc'),
  })
  expect(identity.id).toBe('abc')
})

test('an image copied to another instance voids the stored state, once', async () => {
  const stateDir = await tempDir()
  const imds = await service()
  const deps = { stateDir, metadata: createMetadata({ url: imds.url }), bootId: 'of the second' }
  await writeIdentity(stateDir, await readIdentity({ ...deps, bootId: 'of the first' }))
  await mkdir(join(stateDir, 'engines'))
  await writeFile(join(stateDir, 'wishes.json'), '{}')
  imds.knobs.instanceId = 'i-0fedcba9876543210'
  const copied = await readIdentity(deps)
  expect(copied).toMatchObject({ changed: true, previous: 'i-0123456789abcdef0', id: 'i-0fedcba9876543210' })
  expect((await voidState(stateDir)).toSorted()).toEqual(['engines', 'identity.json', 'wishes.json'])
  await writeIdentity(stateDir, copied)
  expect((await readdir(stateDir)).toSorted()).toEqual(['identity.json', 'voided'])
  expect(await readIdentity(deps)).toMatchObject({ changed: false })
})

test('a restart of the daemon asks nobody who we are: the machine has not changed while it runs', async () => {
  const stateDir = await tempDir()
  const imds = await service()
  const deps = { stateDir, metadata: createMetadata({ url: imds.url }), bootId: 'same' }
  await writeIdentity(stateDir, await readIdentity(deps))
  imds.knobs.instanceId = 'i-0fedcba9876543210'
  expect(await readIdentity(deps)).toMatchObject({ changed: false, id: 'i-0123456789abcdef0' })
})

test.for([
  ['first boot', undefined, { instanceId: 'i-1' }, { changed: false, id: 'i-1' }],
  ['same', { instanceId: 'i-1' }, { instanceId: 'i-1' }, { changed: false }],
  ['copied', { instanceId: 'i-1', machineId: 'a' }, { instanceId: 'i-2', machineId: 'a' }, { changed: true }],
  ['service away', { instanceId: 'i-1', machineId: 'a' }, { machineId: 'a' }, { changed: false, id: 'i-1' }],
  ['copied, service away', { instanceId: 'i-1', machineId: 'a' }, { machineId: 'b' }, { changed: true, id: 'b' }],
  [
    'machine id renewed',
    { instanceId: 'i-1', machineId: 'a' },
    { instanceId: 'i-1', machineId: 'b' },
    { changed: false },
  ],
  ['nothing known', { instanceId: 'i-1' }, {}, { changed: false, id: 'i-1' }],
  [
    'another type',
    { instanceId: 'i-1', instanceType: 'p5' },
    { instanceId: 'i-1', instanceType: 'g6' },
    { changed: false, previousType: 'p5', instanceType: 'g6' },
  ],
] as const)('identity: %s', ([, stored, observed, expected]) => {
  expect(judgeIdentity(stored, observed)).toMatchObject(expected)
})
