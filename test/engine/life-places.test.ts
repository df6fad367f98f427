// Where lives are kept: a folder that cannot be made, and one that somebody deletes under a living engine.
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { adoptEngines, startEngine } from '../../src/engine/life.ts'
import { eventually } from '../support/eventually.ts'
import { alive, endedAfterwards, engineBed, pidsOf, program, start, whenPhase } from './engine-bed.ts'

test('folders that cannot be made cost nothing where there is a spare place, and a launch that fails leaves nothing', async () => {
  const bed = await engineBed()
  const lost = join(program, 'no-folder')
  const troubles: (string | undefined)[] = []
  const onTrouble = (why: string | undefined) => void troubles.push(why)
  const none = { ...bed.deps, livesFolder: lost, spareFolder: join(lost, 'spare'), onTrouble }
  const { problem } = await startEngine(bed.spec, none).ended
  expect(problem?.evidence).toContain(`${lost}: `)
  expect(problem?.evidence).toContain(`${lost}/spare: `)
  expect(await readdir(bed.deps.logDir).catch(() => [])).toEqual([])
  const spareFolder = join(bed.root, 'spare')
  const life = endedAfterwards(startEngine(bed.spec, { ...none, spareFolder }))
  await whenPhase(life, 'serving')
  expect(await readdir(spareFolder)).toEqual([life.id])
  await life.stop()
  expect(await readdir(spareFolder)).toEqual([])
  const usual = endedAfterwards(startEngine(bed.spec, { ...bed.deps, spareFolder, onTrouble }))
  await whenPhase(usual, 'serving')
  expect(troubles).toEqual([expect.stringContaining(lost), expect.stringContaining(lost), undefined])
})

test('the record of a living engine that somebody deletes is written again, and the next daemon adopts the engine', async () => {
  const bed = await engineBed()
  const life = start(bed)
  await whenPhase(life, 'serving')
  await rm(bed.deps.livesFolder, { recursive: true })
  await eventually('it is back', () => readdir(join(bed.deps.livesFolder, life.id)))
  await eventually('with its record', async () =>
    (await readdir(join(bed.deps.livesFolder, life.id))).includes('record.json'),
  )
  life.leave()
  await life.ended
  const [adopted] = await adoptEngines(bed.deps.livesFolder, bed.deps)
  if (!adopted) throw new Error('nothing adopted')
  endedAfterwards(adopted)
  await whenPhase(adopted, 'serving')
  expect(adopted.pid).toBe(life.pid)
})

test.each(['its folder', 'the whole state'])(
  'an engine that nothing is known of any more, since %s was deleted while no daemon was there, is ended before another starts',
  async (what) => {
    const bed = await engineBed({}, { stop: 30_000 })
    const { livesFolder } = bed.deps
    const life = start(bed)
    await whenPhase(life, 'serving')
    const pids = await pidsOf(bed, life)
    expect(pids.length).toBeGreaterThanOrEqual(3)
    life.leave()
    await life.ended
    await rm(what === 'its folder' ? join(livesFolder, life.id) : livesFolder, { recursive: true })
    expect(await adoptEngines(livesFolder, bed.deps)).toEqual([])
    expect(pids.filter(alive)).toEqual([])
    expect(await readdir(livesFolder)).toEqual([])
  },
)

test('an engine of another state folder is nobody that we know', async () => {
  const [ours, theirs] = [await engineBed(), await engineBed()]
  const life = start(theirs)
  await whenPhase(life, 'serving')
  expect(await adoptEngines(ours.deps.livesFolder, ours.deps)).toEqual([])
  expect(life.phase.value).toBe('serving')
})
