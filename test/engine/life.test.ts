import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { adoptEngines } from '../../src/engine/life.ts'
import { parseMarks } from '../../src/rehearsal/engine-marks.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { alive, endedAfterwards, engineBed, pidsOf, program, start, whenPhase } from './engine-bed.ts'

test('a stop leaves nothing but the log: no process, no port, no folder', async () => {
  const bed = await engineBed()
  const life = start(bed)
  expect(life.phase.value).toBe('launching')
  await whenPhase(life, 'serving')
  expect(life.upstream.state.value).toBe('serving')
  const pids = await pidsOf(bed, life)
  expect(pids.length).toBeGreaterThanOrEqual(2)
  expect(await life.stop()).toEqual({ why: 'asked' })
  expect(await life.ended).toEqual({ end: { why: 'asked' } })
  expect(life.upstream.state.value).toBe('gone')
  expect(pids.filter(alive)).toEqual([])
  expect(await readdir(bed.deps.livesFolder)).toEqual([])
  expect(await readFile(life.logPath, 'utf8')).toContain('Application startup complete')
})

test('a load is seen stage by stage', async () => {
  const bed = await engineBed({ LOAD_MS: '600' })
  const life = start(bed)
  const stages = new Set<string>()
  await eventually('serving', () => {
    stages.add(life.progress.value.stage ?? '')
    return life.phase.value === 'serving'
  })
  expect(stages).toContain('loading weights')
})

test('an engine that ends with 0 and was not asked to has failed, and says so', async () => {
  const bed = await engineBed({ EXIT_AFTER_MS: '100', EXIT_CODE: '0' })
  const life = start(bed)
  const { end, problem } = await life.ended
  expect(end).toEqual({ why: 'exited', code: 0 })
  expect(problem?.code).toBeDefined()
  expect(problem?.evidence).toContain('exit 0')
})

test('kill -9 of the API server: the orphaned core is ended before the life is gone', async () => {
  const bed = await engineBed({ ORPHAN: '1' })
  const life = start(bed)
  await whenPhase(life, 'serving')
  const pids = await pidsOf(bed, life)
  if (!life.pid) throw new Error('the engine has no pid')
  process.kill(life.pid, 'SIGKILL')
  const { end } = await life.ended
  expect(end).toEqual({ why: 'exited', code: 137 })
  expect(pids.filter(alive)).toEqual([])
})

test('an engine that is deaf to every signal is killed after its patience', async () => {
  const bed = await engineBed({ DEAF: 'all' }, { stop: 300 })
  const life = start(bed)
  await whenPhase(life, 'serving')
  const pids = await pidsOf(bed, life)
  expect(await life.stop({ drain: false })).toEqual({ why: 'asked' })
  expect(pids.filter(alive)).toEqual([])
})

test('a stop while it loads ends it with SIGINT, which a loading vLLM hears', async () => {
  const bed = await engineBed({ LOAD_MS: '60000', INTERRUPT_MS: '50' }, { stop: 60_000 })
  const life = start(bed)
  await eventually('its first stage', () => life.progress.value.stage)
  const began = performance.now()
  expect(await life.stop()).toEqual({ why: 'asked' })
  expect(performance.now() - began).toBeLessThan(15_000)
})

test('a crash during the load is explained by its cause, not by its symptom', async () => {
  const bed = await engineBed({ CRASH: '1' })
  const { end, problem } = await start(bed).ended
  expect(end).toMatchObject({ why: 'exited', code: 1 })
  expect(problem?.code).toBe('vllm-gpu-oom')
  expect(problem?.evidence).toMatch(/memory/i)
  expect(problem?.evidence).toMatch(/\(exit 1\)$/)
})

test('a load without progress is given up, one that moves is not', async () => {
  const stalled = await engineBed({ LOAD_MS: '2000', STALL_AT: 'shards' }, { start: 1500, stop: 300 })
  const { end, problem } = await start(stalled).ended
  expect(end.why).toBe('never-ready')
  expect(problem?.code).toBe('engine-load-stalled')
  const slow = await engineBed({ LOAD_MS: '4000' }, { start: 3000 })
  await whenPhase(start(slow), 'serving')
})

test('an engine that listens before it is healthy is waited for', async () => {
  const marks = join(await tempDir(), 'marks')
  // However late a busy machine lets us look: serving is never what does not listen, or is not healthy, yet.
  const bed = await engineBed({ LATE_HEALTH_MS: '700', MARKS: marks })
  await whenPhase(start(bed), 'serving')
  const servesAt = performance.timeOrigin + performance.now()
  const [listens] = parseMarks(await readFile(marks, 'utf8'))
  expect(servesAt - (listens?.at ?? NaN)).toBeGreaterThan(650)
})

test('ten lives in a row on one port, ended while they load or serve, leave nothing', async () => {
  const bed = await engineBed({ LOAD_MS: '10' }, { stop: 5000 })
  const pids: number[] = []
  for (let round = 0; round < 10; round += 1) {
    const life = start(bed)
    const target = round % 2 === 0 ? 'serving' : 'loading'
    await eventually(target, () => life.phase.value === target || life.phase.value === 'serving')
    pids.push(...(await pidsOf(bed, life)))
    await life.stop({ drain: false })
  }
  expect(pids.filter(alive)).toEqual([])
  expect(await readdir(bed.deps.livesFolder)).toEqual([])
})

test('a program that is not there is an end with a reason', async () => {
  const bed = await engineBed()
  bed.spec = { ...bed.spec, python: '/nowhere/python' }
  const { end, problem } = await start(bed).ended
  expect(end).toEqual({ why: 'exited', code: 127 })
  expect(problem?.evidence).toContain('not found')
})

test('folders that cannot be made are an end with a reason, not an exception', async () => {
  const bed = await engineBed()
  bed.deps.livesFolder = join(program, 'no-folder')
  expect(await start(bed).ended).toMatchObject({
    end: { why: 'never-ready' },
    problem: { code: 'engine-not-launched' },
  })
})

test('a log folder that cannot be written costs no engine', async () => {
  const bed = await engineBed()
  bed.deps.logDir = join(program, 'no-folder')
  const life = start(bed)
  await whenPhase(life, 'serving')
  await life.stop()
  expect(bed.said.some((line) => line.includes('engine log stays'))).toBe(true)
})

test('a stop drains what runs, and a second one without drain ends that wait', async () => {
  const bed = await engineBed({}, { drain: 60_000 })
  const life = start(bed)
  await whenPhase(life, 'serving')
  const turn = life.upstream.begin()
  const stopped = life.stop()
  await eventually('ending', () => life.upstream.state.value === 'ending')
  expect(alive(life.pid ?? 0)).toBe(true)
  void life.stop({ drain: false })
  await stopped
  turn[Symbol.dispose]()
})

test('parked means hidden and alive, also when it was parked before it served', async () => {
  const bed = await engineBed()
  const life = start(bed)
  life.park()
  await whenPhase(life, 'serving')
  expect(life.upstream.state.value).toBe('parked')
  life.unpark()
  expect(life.upstream.state.value).toBe('serving')
})

test('the next daemon adopts an engine that serves', async () => {
  const bed = await engineBed()
  const life = start(bed)
  await whenPhase(life, 'serving')
  await eventually('it is noted', () => existsSync(join(bed.deps.livesFolder, life.id, 'serving')))
  life.leave()
  expect((await life.ended).end).toEqual({ why: 'left' })
  const left = Date.now()
  const [adopted, ...others] = await adoptEngines(bed.deps.livesFolder, bed.deps)
  expect(others).toEqual([])
  if (!adopted) throw new Error('nothing adopted')
  endedAfterwards(adopted)
  expect(adopted).toMatchObject({
    id: life.id,
    adopted: true,
    pid: life.pid,
    spec: { ...bed.spec, env: expect.anything() },
  })
  await whenPhase(adopted, 'serving')
  await eventually('since the daemon before', () => adopted.since.value.getTime() <= left)
  expect(await adopted.stop()).toEqual({ why: 'asked' })
  expect(alive(life.pid ?? 0)).toBe(false)
})

test('an engine that is adopted while it loads goes on loading', async () => {
  const bed = await engineBed({ LOAD_MS: '1500' })
  const life = start(bed)
  await eventually('its first stage', () => life.progress.value.stage)
  life.leave()
  await life.ended
  const [adopted] = await adoptEngines(bed.deps.livesFolder, bed.deps)
  if (!adopted) throw new Error('nothing adopted')
  endedAfterwards(adopted)
  await whenPhase(adopted, 'serving')
  expect(adopted.pid).toBe(life.pid)
  await adopted.stop()
})

test('what died while nobody looked leaves its log, with the reason told, and no folder', async () => {
  const bed = await engineBed()
  const life = start(bed)
  await whenPhase(life, 'serving')
  life.leave()
  await life.ended
  const pids = await pidsOf(bed, life)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await eventually('it is dead', () => !pids.some(alive))
  expect(await adoptEngines(bed.deps.livesFolder, bed.deps)).toEqual([])
  expect(await readdir(bed.deps.livesFolder)).toEqual([])
  expect(existsSync(life.logPath)).toBe(true)
  expect(bed.said.some((line) => line.includes('died while we were away'))).toBe(true)
})

test('a hang with /health 200 is found, with the frozen counters as evidence', async () => {
  // Patience for what drains would outlast the test.
  const bed = await engineBed({ HANG_AFTER_MS: '300', TOKEN_MS: '20', DEAF: 'all' }, { hangGrace: 800, stop: 600_000 })
  const life = start(bed)
  await whenPhase(life, 'serving')
  await eventually('since when', () => life.since.value.getTime() > life.startedAt.getTime())
  void fetch(`${life.upstream.origin}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'Test/Tiny', prompt: 'x', max_tokens: 10_000, stream: true }),
  }).catch(() => {})
  await whenPhase(life, 'ending')
  expect(life.cause.value?.code).toBe('engine-hung')
  const { end, problem } = await life.ended
  expect(end.why).toBe('stuck')
  expect(problem?.code).toBe('engine-hung')
  expect(problem?.evidence).toMatch(/no progress for .* running [1-9]/)
})

test('an idle engine, and one that works, are left alone', async () => {
  const bed = await engineBed({ TOKEN_MS: '20' }, { hangGrace: 300 })
  const life = start(bed)
  await whenPhase(life, 'serving')
  const answer = await fetch(`${life.upstream.origin}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'Test/Tiny', prompt: 'x', max_tokens: 100 }),
  })
  expect(answer.status).toBe(200)
  expect(life.phase.value).toBe('serving')
})

test('a client that reads slowly keeps a request open, and costs no engine', async () => {
  const bed = await engineBed({}, { hangGrace: 200 })
  const life = start(bed)
  await whenPhase(life, 'serving')
  using _turn = life.upstream.begin()
  await eventually('it was asked to prove that it works', async () => {
    const text = await (await fetch(`${life.upstream.origin}/metrics`)).text()
    return /^vllm:generation_tokens_total\{.*\} [1-9]/m.test(text)
  })
  expect(life.phase.value).toBe('serving')
})

test('rubbish among the lives is told and put away, and hinders nobody', async () => {
  const bed = await engineBed()
  const life = start(bed)
  await whenPhase(life, 'serving')
  life.leave()
  await life.ended
  const { livesFolder } = bed.deps
  await writeFile(join(livesFolder, 'a-file'), 'x')
  await mkdir(join(livesFolder, 'engine-0-rubbish'))
  await writeFile(join(livesFolder, 'engine-0-rubbish', 'record.json'), '\0\0{"id":')
  const adopted = await adoptEngines(livesFolder, bed.deps)
  adopted.forEach(endedAfterwards)
  expect(adopted.map(({ id }) => id)).toEqual([life.id])
  expect(await readdir(livesFolder)).not.toContain('engine-0-rubbish')
})

test('the logs of the last lives of a slot stay, older ones go', async () => {
  const bed = await engineBed({ CRASH: '1' })
  bed.deps.keepLogs = 2
  for (let round = 0; round < 4; round += 1) await start(bed).ended
  expect(await readdir(bed.deps.logDir)).toHaveLength(2)
})
