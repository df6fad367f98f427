// A changed secret of an engine's environment is noticed by the next daemon, although no record holds it.
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readSpec, toMeta } from '../../src/engine/spec.ts'
import type { FakeWorld } from './fake-world.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed, toConfig } from './bed.ts'

type Bed = Awaited<ReturnType<typeof fleetBed>>

/** A daemon with this key for its engines; returns once they serve. */
async function daemon({ start, root, world }: Bed, key: string | undefined) {
  const config = toConfig(root, {}, { engineEnv: { NCCL_DEBUG: 'WARN', ...(key && { POC_SIGNATURE_KEY: key }) } })
  const fleet = start({ config })
  await eventually('both serve', () => {
    world.ready()
    return fleet.status.value.summary === '2 of 2 engines serve Test/A'
  })
  return fleet
}

/** As on disk: what an adopted engine was launched with is what its record says. */
function record(world: FakeWorld, change: (meta: Record<string, unknown>) => Record<string, unknown> = (meta) => meta) {
  for (const engine of world.alive()) {
    const meta = JSON.parse(JSON.stringify(toMeta(engine.spec))) as Record<string, unknown>
    expect(JSON.stringify(meta)).not.toContain('hush')
    engine.spec = readSpec(change(meta)) ?? engine.spec
  }
}

test.each([
  ['hush-1', 'hush-1', 2],
  ['hush-1', 'hush-2', 4],
  ['hush-1', undefined, 4],
  [undefined, 'hush-1', 4],
])(
  'engines that were launched with the key %s, under a daemon with %s: %i launches in all',
  async (one, next, launches) => {
    const bed = await fleetBed()
    await bed.end(await daemon(bed, one), 'restart')
    record(bed.world)
    await daemon(bed, next)
    expect(bed.world.launches).toHaveLength(launches)
    expect(bed.world.alive().every(({ spec }) => spec.env['POC_SIGNATURE_KEY'] === next)).toBe(one !== next)
  },
)

test('engines whose record has no digest yet are adopted', async () => {
  const bed = await fleetBed()
  await bed.end(await daemon(bed, 'hush-1'), 'restart')
  record(bed.world, (meta) => Object.fromEntries(Object.entries(meta).filter(([name]) => name !== 'secrets')))
  await daemon(bed, 'hush-2')
  expect(bed.world.launches).toHaveLength(2)
})

test.each(['lost', 'garbled'])('a key of the digests that was %s costs no engine', async (how) => {
  const bed = await fleetBed()
  await bed.end(await daemon(bed, 'hush-1'), 'restart')
  record(bed.world)
  const path = join(bed.root, 'state/digest-key.json')
  const before = await readFile(path, 'utf8')
  await writeFile(path, how === 'lost' ? '' : '{"version":1,"key":"x"}')
  await bed.end(await daemon(bed, 'hush-1'), 'restart')
  expect(bed.world.launches).toHaveLength(2)
  expect(await readFile(path, 'utf8')).not.toBe(before)
})

test('a state folder without room for the key costs no engine', async () => {
  const bed = await fleetBed()
  await mkdir(join(bed.root, 'state/digest-key.json'), { recursive: true })
  await bed.end(await daemon(bed, 'hush-1'), 'restart')
  record(bed.world)
  await daemon(bed, 'hush-2')
  expect(bed.world.launches).toHaveLength(2)
})

test('the key is readable by nobody else', async () => {
  const bed = await fleetBed()
  await daemon(bed, 'hush-1')
  expect((await stat(join(bed.root, 'state/digest-key.json'))).mode & 0o777).toBe(0o600)
})
