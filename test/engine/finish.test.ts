// The last thing that an end waits for: GPU memory that comes late, never, or that nobody can count.
import { mkdir, readdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { Problem } from '../../src/api/status.ts'
import { silentLog } from '../../src/core/log.ts'
import { untilMemoryFree } from '../../src/engine/finish-memory.ts'
import { adoptEngines, type DeadEngine, type EngineDeps, type MemoryWait, startEngine } from '../../src/engine/life.ts'
import { createTestClock } from '../fleet/bed.ts'
import { eventually } from '../support/eventually.ts'
import { endedAfterwards, engineBed, pidsOf, whenPhase } from './engine-bed.ts'

/** Memory that is held until the test says otherwise. */
function createMemory() {
  const looks: MemoryWait[] = []
  const { promise, resolve } = Promise.withResolvers<'free' | 'others'>()
  const gpuMemoryBack: NonNullable<EngineDeps['gpuMemoryBack']> = (_, how) => {
    looks.push(how)
    const over = new Promise<never>((_resolve, reject) =>
      how.abort.addEventListener('abort', () => reject(new Error('given up'))),
    )
    return Promise.race([promise, over])
  }
  return { gpuMemoryBack, looks, giveBack: resolve }
}

async function waiting(gpuMemoryBack: EngineDeps['gpuMemoryBack']) {
  const { spec } = await engineBed()
  const clock = createTestClock()
  const problem = signal<Problem | undefined>(undefined)
  const [letGo, leave] = [new AbortController(), new AbortController()]
  const end = untilMemoryFree({
    spec: { ...spec, gpus: [2, 3] },
    deps: { ...(gpuMemoryBack && { gpuMemoryBack }), log: silentLog },
    clock,
    problem,
    letGo: letGo.signal,
    leave: leave.signal,
  })
  return { clock, problem, letGo, leave, end }
}

test('memory that is not back after 30 s is a problem with its GPUs, its amount and its time, until it is back', async () => {
  const { gpuMemoryBack, looks, giveBack } = createMemory()
  const { clock, problem, end } = await waiting(gpuMemoryBack)
  looks[0]!.onHeld('GPU 2: 70004 MiB in use; nvidia-smi names no process')
  clock.advance(29_000)
  await Promise.resolve()
  expect(problem.value).toBeUndefined()
  clock.advance(1000)
  await eventually('a problem', () => problem.value)
  expect(problem.value).toMatchObject({
    code: 'gpu-memory-kept',
    evidence: 'GPUs 2, 3, since 2023-11-14T22:13:20.000Z: GPU 2: 70004 MiB in use; nvidia-smi names no process',
  })
  looks[0]!.onHeld('GPU 2: 35000 MiB in use; nvidia-smi names no process')
  expect(problem.value?.evidence).toContain('35000 MiB')
  giveBack('free')
  expect(await end).toBe('free')
  expect(problem.value).toBeUndefined()
})

test('a look that errs proves nothing, and neither does a daemon that ends; who lets go waits no longer', async () => {
  const tries = { count: 0 }
  const broken = () => {
    tries.count += 1
    return Promise.reject(new Error('no nvidia-smi any more'))
  }
  const first = await waiting(broken)
  await eventually('looked', () => tries.count === 1)
  first.clock.advance(1000)
  await eventually('looked again', () => tries.count === 2)
  first.clock.advance(30_000)
  await eventually('a problem', () => first.problem.value?.evidence.includes('no nvidia-smi any more'))
  first.leave.abort()
  expect(await first.end).toBe('left')
  const second = await waiting(broken)
  second.letGo.abort()
  expect(await second.end).toBe('let-go')
  expect(await (await waiting(undefined)).end).toBe('free')
})

/** An engine that died while no daemon was there. */
async function dead(more: Partial<EngineDeps> = {}) {
  const bed = await engineBed({ EXIT_AFTER_MS: '1', EXIT_CODE: '7' })
  const dying = startEngine({ ...bed.spec, gpus: [0], owner: 'launch:abc' }, bed.deps)
  await whenPhase(dying, 'loading')
  dying.leave()
  await dying.ended
  await eventually('nothing of it lives', async () => (await pidsOf(bed, dying)).length === 0)
  const told: DeadEngine[] = []
  const deps: EngineDeps = { ...bed.deps, onDead: (_, one) => void told.push(one), ...more }
  const adopt = () => adoptEngines(bed.deps.livesFolder, deps)
  return { folder: bed.deps.livesFolder, adopt, told }
}

test('an engine found dead has its GPUs until their memory is back, also if several daemons come and go meanwhile', async () => {
  const { gpuMemoryBack, looks, giveBack } = createMemory()
  const { folder, adopt, told } = await dead({ gpuMemoryBack })
  const [first] = await adopt()
  expect(first).toMatchObject({ id: 'launch-abc', adopted: true, pid: undefined, spec: { gpus: [0] } })
  expect(first?.phase.value).toBe('ending')
  first?.leave()
  expect(await first?.ended).toEqual({ end: { why: 'left' } })
  expect(await readdir(folder)).toEqual(['launch-abc'])
  const [second] = await adopt()
  endedAfterwards(second!)
  await eventually('looked at again', () => looks.length === 2)
  giveBack('free')
  expect(await second!.ended).toMatchObject({
    end: { why: 'found-dead', problem: { evidence: expect.stringContaining('exit 7') as string } },
  })
  expect(second).toMatchObject({ memoryKept: false })
  expect(await readdir(folder)).toEqual([])
  expect(told).toEqual([])
})

test('engines that were found are left where another cannot be told: asked again, nobody waits for the same memory twice', async () => {
  const { gpuMemoryBack, looks, giveBack } = createMemory()
  const { folder, adopt } = await dead({ gpuMemoryBack })
  const bed = await engineBed()
  const living = startEngine(bed.spec, { ...bed.deps, livesFolder: folder })
  await whenPhase(living, 'serving')
  living.leave()
  await living.ended
  const record = join(folder, living.id, 'record.json')
  await rename(record, `${record}.kept`)
  await mkdir(record)
  // On a busy machine the dead one cannot be told at once either.
  await eventually('the dead one is told', async () => {
    await expect(adopt()).rejects.toBeInstanceOf(Error)
    return looks.length > 0
  })
  const open = () => looks.filter(({ abort }) => !abort.aborted).length
  expect(open()).toBe(0)
  await rmdir(record)
  await rename(`${record}.kept`, record)
  const both = await adopt()
  for (const life of both) endedAfterwards(life)
  expect(both).toHaveLength(2)
  expect(open()).toBe(1)
  giveBack('free')
})

test('a daemon that leaves while the memory of a stopped engine lingers forgets nothing: the next one waits', async () => {
  const { gpuMemoryBack, looks, giveBack } = createMemory()
  const bed = await engineBed()
  const { deps } = bed
  const life = startEngine({ ...bed.spec, gpus: [0] }, { ...deps, gpuMemoryBack })
  await whenPhase(life, 'serving')
  const stopped = life.stop()
  await eventually('nothing but memory is left', () => looks.length === 1)
  expect(await pidsOf(bed, life)).toEqual([])
  life.leave()
  expect(await stopped).toEqual({ why: 'left' })
  expect(await readdir(deps.livesFolder)).toEqual([life.id])
  const [next] = await adoptEngines(deps.livesFolder, { ...deps, gpuMemoryBack })
  await eventually('looked at', () => looks.length === 2)
  giveBack('others')
  expect(await next!.ended).toMatchObject({ end: { why: 'found-dead' } })
  expect(next).toMatchObject({ id: life.id, memoryKept: true })
})

test('a reboot has freed the memory of an engine that is found dead: it is buried at once', async () => {
  const { gpuMemoryBack, looks } = createMemory()
  const { folder, adopt, told } = await dead({ gpuMemoryBack })
  const path = join(folder, 'launch-abc', 'record.json')
  const record = JSON.parse(await readFile(path, 'utf8')) as { bootId: string }
  await writeFile(path, JSON.stringify({ ...record, bootId: 'before' }))
  expect(await adopt()).toEqual([])
  expect([told.length, looks.length]).toEqual([1, 0])
})
