import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { type Wish } from '../../src/fleet/wish.ts'
import { type WishFacts, WishBook } from '../../src/fleet/wishes.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { fleetBed } from './bed.ts'

const order: Wish = {
  kind: 'run',
  ask: { model: 'Test/B', dtype: 'auto', args: ['-tp', '2'] },
  at: 1,
  bootId: 'boot-1',
}
const launch: Wish = { kind: 'run', ask: { model: 'Test/L' }, at: 1, bootId: 'boot-1' }

async function written(): Promise<WishFacts> {
  const facts: WishFacts = {
    stateDir: await tempDir(),
    instanceId: 'i-1',
    bootId: 'boot-1',
    modelName: 'Test/A',
    configuration: { kind: 'run', ask: { model: 'Test/A' }, at: 1, bootId: 'boot-1' },
  }
  const book = new WishBook(facts)
  book.set('broker', order)
  book.set('launch:1', launch)
  book.keepPlan({ model: 'Test/B', instances: 4, gpusPerEngine: 2, hasPoc: true, owner: 'broker' }, 8)
  await book.flush()
  expect(book.problem.value).toBeUndefined()
  return facts
}

async function readBack(facts: WishFacts): Promise<WishBook> {
  const book = new WishBook(facts)
  await book.load()
  return book
}

test('wishes are there again after a restart of the daemon, by owner', async () => {
  const book = await readBack(await written())
  expect(book.wishes.value).toMatchObject({
    broker: order,
    'launch:1': launch,
    configuration: { ask: { model: 'Test/A' } },
  })
  expect(book.kept).toMatchObject({ planned: { instances: 4 }, gpuCount: 8 })
})

test.each<[string, Partial<WishFacts>]>([
  ['a reboot', { bootId: 'boot-2' }],
  ['another MODEL_NAME', { modelName: 'Test/C' }],
])('%s voids the order of the broker and nothing else', async (_, change) => {
  const book = await readBack({ ...(await written()), ...change })
  expect(book.wishes.value.broker).toBeUndefined()
  expect(book.wishes.value['launch:1']).toEqual(launch)
  expect(book.kept.gpuCount).toBe(8)
})

test('another instance voids everything; an instance that is not known yet voids nothing', async () => {
  const facts = await written()
  const unknown = await readBack({ ...facts, instanceId: undefined })
  expect(unknown.wishes.value.broker).toEqual(order)
  // What it writes still belongs to the instance that was known before.
  unknown.set('operator', undefined)
  await unknown.flush()
  const copied = await readBack({ ...facts, instanceId: 'i-2' })
  expect(Object.keys(copied.wishes.value)).toEqual(['configuration'])
  expect(copied.kept).toEqual({})
})

test('an order that comes before the file is read wins over the file', async () => {
  const book = new WishBook(await written())
  book.set('broker', { kind: 'stop', at: 5, bootId: 'boot-1' })
  await book.flush()
  expect(book.wishes.value.broker?.kind).toBe('stop')
  expect(book.wishes.value['launch:1']).toEqual(launch)
})

test('garbage in the file is said and replaced by the next wish', async () => {
  const facts = await written()
  const path = join(facts.stateDir, 'wishes.json')
  for (const garbage of ['', '{"version":1', '[]', '{"version":1,"bootId":"b","wishes":{"mallory":{}}}', '\u0000']) {
    await writeFile(path, garbage)
    const book = await readBack(facts)
    expect(book.problem.value?.code).toBe('state-unreadable')
    expect(book.wishes.value.broker).toBeUndefined()
    book.set('broker', order)
    await book.flush()
    expect(book.problem.value).toBeUndefined()
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ wishes: { broker: { kind: 'run' } } })
  }
})

test('a state folder that cannot be written degrades the fleet, and engines and orders go on', async () => {
  const { start, world, root, alive, clock } = await fleetBed()
  // A file in the place of the folder stands for a disk that takes nothing: root may write anywhere else.
  await writeFile(join(root, 'state'), '')
  const fleet = start()
  await alive(2)
  world.ready()
  await eventually('said', () => fleet.status.value.problem?.code === 'state-not-writable')
  expect(fleet.status.value.health).toBe('degraded')
  fleet.orders.stop()
  await fleet.orders.up({ model: 'Test/A', dtype: 'auto', additionalArgs: [] }, AbortSignal.timeout(5000))
  await rm(join(root, 'state'))
  await eventually('written as soon as it can be', () => {
    clock.advance(1500)
    return fleet.status.value.health === 'ok'
  })
  expect(world.launches).toHaveLength(2)
})

/** Reads the book while no descriptor is left, and again when some are. */
const shortRun = `
import { closeSync, openSync } from 'node:fs'
import { WishBook } from '${new URL('../../src/fleet/wishes.ts', import.meta.url).href}'
const book = new WishBook(JSON.parse(process.argv[1]))
const open = []
try { for (;;) open.push(openSync('/dev/null')) } catch {}
const first = await book.load().then(() => 'read', (error) => error.code)
book.keepPlan(undefined, 3)
await book.flush()
open.forEach((fd) => closeSync(fd))
await book.load()
await book.flush()
console.log(first, book.wishes.value.broker?.kind, book.kept.gpuCount)
`

test('without a descriptor the file is read later, and not written over by what is known until then', async () => {
  const facts = await written()
  const script = ['-c', 'ulimit -n 128; exec "$0" --input-type=module -e "$1" "$2"']
  const given = [process.execPath, shortRun, JSON.stringify(facts)]
  const { stdout } = await promisify(execFile)('sh', [...script, ...given], { timeout: 30_000 })
  expect(stdout).toBe('EMFILE run 3\n')
  expect((await readBack(facts)).wishes.value.broker).toEqual(order)
})
