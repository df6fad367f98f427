// Where lives are kept: a folder that cannot be made, and one that somebody deletes under a living engine.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Problem } from '../../src/api/status.ts'
import { adoptEngines, type DeadEngine, type EngineDeps, startEngine } from '../../src/engine/life.ts'
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

test.each(['is still not there', 'is there at last'])(
  'the log of a launch that LOG_DIR could not have is read from its folder, and kept when it ends: LOG_DIR %s',
  async (later) => {
    const bed = await engineBed()
    const logDir = join(bed.root, 'logs')
    await writeFile(logDir, 'in the way')
    const keptLogs = join(bed.root, 'launches')
    const life = endedAfterwards(startEngine({ ...bed.spec, owner: 'launch:abc' }, { ...bed.deps, logDir, keptLogs }))
    await whenPhase(life, 'serving')
    expect(life.logPath).toBe(join(bed.deps.livesFolder, 'launch-abc', 'log'))
    expect(await readFile(life.logPath, 'utf8')).toContain('Application startup complete')
    if (later === 'is there at last') await rm(logDir)
    await life.stop()
    const place = join(later === 'is there at last' ? logDir : keptLogs, 'launch-abc.log')
    expect(life).toMatchObject({ logPath: place, strayLog: place.startsWith(keptLogs) ? place : undefined })
    expect(await readFile(place, 'utf8')).toContain('Application startup complete')
    expect(await readdir(bed.deps.livesFolder)).toEqual([])
  },
)

test('an engine that died while no daemon was there is told with its exit status, which its keeper left', async () => {
  const bed = await engineBed({ EXIT_AFTER_MS: '300', EXIT_CODE: '7' })
  const logDir = join(bed.root, 'no-logs')
  await writeFile(logDir, 'in the way')
  const keptLogs = join(bed.root, 'launches')
  const told: [string, DeadEngine][] = []
  const deps: EngineDeps = { ...bed.deps, logDir, keptLogs, onDead: (id, dead) => void told.push([id, dead]) }
  const life = endedAfterwards(startEngine({ ...bed.spec, owner: 'launch:abc' }, deps))
  await eventually('it runs', () => life.phase.value === 'loading')
  life.leave()
  await life.ended
  const folder = join(bed.deps.livesFolder, 'launch-abc')
  await eventually('its keeper wrote', async () => (await readdir(folder)).includes('exit'))
  await eventually('nothing of it lives', async () => (await pidsOf(bed, life)).length === 0)
  expect(await adoptEngines(bed.deps.livesFolder, deps)).toEqual([])
  const kept = join(keptLogs, 'launch-abc.log')
  const problem = expect.objectContaining({ evidence: expect.stringContaining('exit 7') as string }) as Problem
  expect(told).toEqual([['launch-abc', { problem, strayLog: kept }]])
  expect(await readFile(kept, 'utf8')).not.toBe('')
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
