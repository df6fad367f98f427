// What becomes of launches while the daemon comes and goes, and of those that wait, idle or are forgotten.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import type { LaunchRecord } from '../../src/fleet/launch-record.ts'
import type { Launches } from '../../src/fleet/launches.ts'
import { createLaunchRetention, pickExpired } from '../../src/fleet/launch-retention.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { calm, fleetBed, toAsk, toConfig, toGpus } from './bed.ts'

const untilState = (launches: Launches, id: string, state: string) =>
  eventually(`${id} is ${state}`, () => launches.get(id)?.state === state)
const bare = { model: '' }

test('an engine that exits unasked is a failed launch with its diagnosis, not started again, and its GPU is free', async () => {
  const { start, world, alive, clock } = await fleetBed(bare, 1)
  const { launches } = start()
  const { launch_id: id } = await launches.create(toAsk([0]))
  await alive(1)
  world.ready()
  await untilState(launches, id, 'ready')
  world.crash(world.alive()[0]!)
  await untilState(launches, id, 'failed')
  expect(launches.get(id)).toMatchObject({
    error: 'crashed: boom (cuda-oom-test); none',
    diagnosis: { code: 'cuda-oom-test', evidence: 'boom' },
  })
  const again = await launches.create(toAsk([0]))
  clock.advance(60_000)
  await alive(1)
  expect(world.launches.map((one) => one.owner)).toEqual([`launch:${id}`, `launch:${again.launch_id}`])
})

test('a stop during the load ends as stopped, also where the engine falls at the same time', async () => {
  const { start, world, alive } = await fleetBed(bare, 1)
  world.endsAtOnce = false
  const { launches } = start()
  const { launch_id: id } = await launches.create(toAsk([0]))
  await alive(1)
  expect(await launches.stop(id, { force: false, within: 1 })).toMatchObject({ state: 'stopping' })
  await eventually('asked to end', () => world.alive()[0]?.phase === 'ending')
  await expect(launches.create(toAsk([0]))).rejects.toMatchObject({
    message: `Requested GPUs are in use (gpu 0 -> ${id})`,
  })
  world.crash(world.alive()[0]!)
  await untilState(launches, id, 'stopped')
  expect(launches.get(id)?.error).toBeNull()
})

test('the next daemon adopts what lives, explains what died, and starts what had not started', async () => {
  const { start, end, world, alive, filesOf, root } = await fleetBed(bare, 4)
  const first = start()
  const ids: string[] = []
  for (const gpu of [0, 1, 2]) ids.push((await first.launches.create(toAsk([gpu]))).launch_id)
  await alive(3)
  world.ready()
  for (const id of ids) await untilState(first.launches, id, 'ready')
  filesOf('Test/Later').value = { kind: 'downloading', bytesDone: 1, bytesTotal: 2, startedAt: new Date() }
  const late = (await first.launches.create(toAsk([3], { model: 'Test/Later' }))).launch_id
  await eventually('percent', () => first.launches.get(late)?.progress?.percent === 50)
  await end(first, 'restart')
  const record = JSON.parse(await readFile(join(root, 'state', 'launches', `${ids[1]}.json`), 'utf8')) as {
    logPath: string
  }
  await mkdir(dirname(record.logPath), { recursive: true })
  await writeFile(
    record.logPath,
    'INFO starting\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n',
  )
  world.crash(world.alive()[1]!)
  filesOf('Test/Later').value = { kind: 'ready', path: '/models/later' }
  const { launches } = start()
  await eventually('all are known', () => launches.all.value.length === 4)
  await untilState(launches, ids[1]!, 'failed')
  expect(launches.get(ids[1]!)?.error).toMatch(/CUDA out of memory/)
  expect(launches.get(ids[0]!)?.state).toBe('ready')
  await alive(3)
  expect(world.launches).toHaveLength(4)
  expect(world.launches.at(-1)?.owner).toBe(`launch:${late}`)
  expect((await launches.create(toAsk([1]))).state).toBe('bootstrapping')
  await expect(launches.create(toAsk([0]))).rejects.toMatchObject({ status: 409 })
})

test('a launch that died with the daemon away has its exit status and its log, also where it had not said a word', async () => {
  const { start, end, world, alive, root } = await fleetBed(bare, 1)
  const first = start()
  const { launch_id: id } = await first.launches.create(toAsk([0]))
  await alive(1)
  await end(first, 'restart')
  world.crash(world.alive()[0]!)
  const strayLog = join(root, 'state', 'launches', `launch-${id}.log`)
  await writeFile(strayLog, 'kept\n')
  const problem = { code: 'engine-exited', title: 'ended', evidence: 'exit 7', remedy: 'x' }
  world.dead.set(`launch-${id}`, { problem, strayLog })
  const { launches } = start()
  await untilState(launches, id, 'failed')
  expect(launches.get(id)?.diagnosis).toMatchObject({ code: 'launch-vanished', evidence: 'exit 7' })
  expect((await launches.readLog(id, 0, 100)).content).toBe('kept\n')
  expect(world.launches).toHaveLength(1)
  await launches.forget(id)
  expect(await readdir(dirname(strayLog))).not.toContain(`launch-${id}.log`)
})

test('a reboot fails what ran, and a stop of the daemon stops it', async () => {
  const { start, end, world, alive } = await fleetBed(bare, 2)
  const first = start()
  const { launch_id: id } = await first.launches.create(toAsk([0]))
  await alive(1)
  await end(first, 'restart')
  world.crash(world.alive()[0]!)
  const second = start({ bootId: 'boot-2' })
  await untilState(second.launches, id, 'failed')
  expect(second.launches.get(id)).toMatchObject({ diagnosis: { code: 'launch-rebooted' } })
  const other = await second.launches.create(toAsk([0]))
  const waits = await second.launches.create(toAsk([0], { queue: true }))
  await alive(1)
  await end(second, 'stop')
  expect(world.alive()).toEqual([])
  const third = start({ bootId: 'boot-2' })
  await untilState(third.launches, other.launch_id, 'stopped')
  await untilState(third.launches, waits.launch_id, 'stopped')
  expect(third.launches.all.value.map((one) => one.launch_id)).toEqual([id, other.launch_id, waits.launch_id])
})

test('an engine whose record is lost is taken back, not ended', async () => {
  const { start, end, world, alive, root } = await fleetBed(bare, 1)
  const first = start()
  const { launch_id: id } = await first.launches.create(toAsk([0]))
  await alive(1)
  await end(first, 'restart')
  await writeFile(join(root, 'state', 'launches', `${id}.json`), '{')
  const { launches } = start()
  world.ready()
  await untilState(launches, id, 'ready')
  expect(launches.get(id)).toMatchObject({ model: 'Test/B', gpu_ids: [0] })
  expect(world.alive()).toHaveLength(1)
})

test('a stored launch whose arguments are refused now fails, and the others go on', async () => {
  const { start, end, root, world, alive, filesOf } = await fleetBed(bare, 2)
  filesOf('Test/B').value = { kind: 'looking' }
  const first = start()
  const bad = await first.launches.create(toAsk([0], { extra_kwargs: { seed: 1 } }))
  const good = await first.launches.create(toAsk([1]))
  await end(first, 'restart')
  const path = join(root, 'state', 'launches', `${bad.launch_id}.json`)
  await writeFile(path, (await readFile(path, 'utf8')).replace('"seed"', '"port"'))
  filesOf('Test/B').value = { kind: 'ready', path: '/models/b' }
  const { launches } = start()
  await untilState(launches, bad.launch_id, 'failed')
  expect(launches.get(bad.launch_id)?.diagnosis?.code).toBe('launch-arguments-refused')
  await alive(1)
  expect(world.launches[0]?.owner).toBe(`launch:${good.launch_id}`)
})

test('a queue is served in order, tells the place in it, and one may leave it', async () => {
  const { start, world, alive } = await fleetBed(bare, 2)
  const { launches } = start()
  const first = await launches.create(toAsk([0, 1]))
  await alive(1)
  const second = await launches.create(toAsk(null, { gpu_count: 2, queue: true }))
  const third = await launches.create(toAsk([1], { queue: true }))
  expect(second).toMatchObject({ state: 'bootstrapping', gpu_ids: [], queue_position: 1 })
  expect(third).toMatchObject({ gpu_ids: [1], queue_position: 2 })
  expect(await launches.stop(second.launch_id, calm)).toMatchObject({ state: 'stopped' })
  expect(launches.get(third.launch_id)?.queue_position).toBe(1)
  await launches.stop(first.launch_id, calm)
  await alive(1)
  expect(world.alive()[0]?.spec.owner).toBe(`launch:${third.launch_id}`)
  expect(launches.get(third.launch_id)?.queue_position).toBeUndefined()
})

test('a launch ends by itself when its time is over, or when nobody used it for so long', async () => {
  const { start, world, clock, alive } = await fleetBed(bare, 2)
  const { launches } = start()
  const timed = await launches.create(toAsk([0], { ttl_seconds: 100 }))
  const idle = await launches.create(toAsk([1], { idle_stop_seconds: 50 }))
  await alive(2)
  clock.advance(200_000)
  world.ready()
  await untilState(launches, idle.launch_id, 'ready')
  const turn = launches.upstreams(idle.launch_id)[0]!.begin()
  clock.advance(99_000)
  await untilState(launches, timed.launch_id, 'ready')
  clock.advance(1500)
  await untilState(launches, timed.launch_id, 'stopped')
  expect(launches.get(idle.launch_id)?.state).toBe('ready')
  turn[Symbol.dispose]()
  clock.advance(51_000)
  await untilState(launches, idle.launch_id, 'stopped')
})

test('a model whose files cannot be had fails its launch with the reason', async () => {
  const { start, world, filesOf } = await fleetBed(bare, 1)
  const problem = { code: 'model-not-found', title: 'no such model', evidence: 'Test/B', remedy: 'name another' }
  filesOf('Test/B').value = { kind: 'missing', problem }
  const { launches } = start()
  const { launch_id: id } = await launches.create(toAsk(null))
  await untilState(launches, id, 'failed')
  expect(launches.get(id)?.error).toBe('no such model: Test/B (model-not-found); name another')
  expect(world.launches).toEqual([])
  await expect(launches.create(toAsk([0], { queue: false }))).resolves.toMatchObject({ gpu_ids: [0] })
})

test('memory of somebody else is named with its holder', async () => {
  const { start, inventory } = await fleetBed(bare, 2)
  inventory.value = toGpus(2, [40_000])
  const processes = [{ pid: process.pid, gpuUuid: 'GPU-0' }]
  const { launches } = start({ gpuProcesses: () => Promise.resolve({ kind: 'known', processes }) })
  await expect(launches.create(toAsk(null))).rejects.toMatchObject({
    status: 409,
    message: expect.stringMatching(
      new RegExp(
        `^Requested GPUs are in use \\(gpu 0 -> pid ${process.pid} \\(.+ of user .+\\) with 40000 of 80000 MiB\\)$`,
      ),
    ) as string,
  })
  expect(await launches.create(toAsk(null, { gpu_count: 1 }))).toMatchObject({ gpu_ids: [1] })
})

test('only so many launches that have ended are kept, and their logs go with them', async () => {
  const { start, root } = await fleetBed(bare, 1)
  const config = toConfig(root, bare)
  const { launches } = start({ config: { ...config, launches: { ...config.launches, keepCount: 2 } } })
  const ids: string[] = []
  for (let at = 0; at < 4; at += 1) {
    const { launch_id: id } = await launches.create(toAsk([0]))
    await mkdir(join(root, 'logs'), { recursive: true })
    await writeFile(join(root, 'logs', `launch-${id}.log`), 'x')
    await launches.stop(id, calm)
    ids.push(id)
  }
  await eventually('two are left', () => launches.all.value.length === 2)
  expect(launches.all.value.map((one) => one.launch_id)).toEqual(ids.slice(2))
  await eventually('two logs', async () => (await readdir(join(root, 'logs'))).length === 2)
  await launches.forget(ids[3]!)
  expect(launches.get(ids[3]!)).toBeUndefined()
  await expect(launches.forget('x')).rejects.toMatchObject({ status: 404, message: 'Unknown launch_id: x' })
})

test('of a launch that is forgotten the log goes first: a daemon that dies between the two still knows of it', async () => {
  const root = await tempDir()
  const logPath = join(root, 'launch.log')
  await writeFile(logPath, 'x')
  const left: string[][] = []
  const records = {
    all: signal([]),
    get: () => ({ logPath }) as LaunchRecord,
    remove: async () => void left.push(await readdir(root)),
  }
  const limits = { count: 0, age: 0, bytes: 0 }
  await createLaunchRetention({ records, limits, clock: systemClock, log: silentLog }).forget('x')
  expect(left).toEqual([[]])
})

test('what is kept is bounded by number, age and bytes; the oldest go first', () => {
  const day = 86_400_000
  const ended = [1, 2, 3, 4].map((at) => ({
    record: { id: String(at), updatedAt: new Date(at * day).toISOString().replace('Z', '000Z') },
    bytes: 100,
  }))
  const pick = (limits: Partial<{ count: number; age: number; bytes: number }>) =>
    pickExpired(ended, { count: 9, age: 9 * day, bytes: 999, ...limits }, 4 * day).toSorted()
  expect(pick({})).toEqual([])
  expect(pick({ count: 1 })).toEqual(['1', '2', '3'])
  expect(pick({ age: 2 * day })).toEqual(['1'])
  expect(pick({ bytes: 250 })).toEqual(['1', '2'])
})
