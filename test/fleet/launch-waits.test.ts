// What launches wait for, how that is told, and where the waiting ends.
import { expect, test } from 'vitest'
import type { LaunchRequest } from '../../src/api/launches.ts'
import type { Launches } from '../../src/fleet/launches.ts'
import { eventually } from '../support/eventually.ts'
import { calm, fleetBed, toAsk, toConfig, toGpus } from './bed.ts'

const stageOf = (launches: Launches, id: string) => launches.get(id)?.progress?.stage
const stranger = { pid: process.pid, gpuUuid: 'GPU-0' }
const gpuProcesses = () => Promise.resolve({ kind: 'known', processes: [stranger] } as const)
const itsName = new RegExp(`pid ${process.pid} \\(.+ of user .+\\)`)

/** One whose model is looked for, so that it has its GPU and no engine yet, while another program takes the memory. */
async function taken(more: Partial<LaunchRequest> = {}, gpus = 1, refreshGpus = () => Promise.resolve()) {
  const bed = await fleetBed({ model: '' }, gpus)
  const fleet = bed.start({ gpuProcesses, refreshGpus })
  bed.filesOf('Test/B').value = { kind: 'looking' }
  const { launch_id: id } = await fleet.launches.create(toAsk(more.gpu_count === undefined ? [0] : null, more))
  bed.inventory.value = toGpus(gpus, [40_000])
  bed.filesOf('Test/B').value = { kind: 'ready', path: '/models/b' }
  return { ...bed, ...fleet, id }
}

test('a launch whose GPU memory another program took says who has it, waits 5 minutes, and fails with its pid and user', async () => {
  const { launches, id, clock, world } = await taken()
  await eventually('named', () => itsName.test(stageOf(launches, id) ?? ''))
  expect(launches.get(id)).toMatchObject({
    state: 'bootstrapping',
    error: null,
    diagnosis: { code: 'gpu-memory-taken', evidence: expect.stringMatching(itsName) as string },
  })
  clock.advance(290_000)
  await eventually('still waiting', () => stageOf(launches, id) !== undefined)
  expect(launches.get(id)?.state).toBe('bootstrapping')
  await eventually('failed', () => {
    clock.advance(11_000)
    return launches.get(id)?.state === 'failed'
  })
  expect(launches.get(id)?.diagnosis).toMatchObject({ code: 'launch-memory-taken' })
  expect(launches.get(id)?.error).toMatch(itsName)
  expect(world.launches).toEqual([])
  await expect(launches.create(toAsk([0]))).rejects.toMatchObject({ status: 409 })
})

test('memory that comes back in time starts the launch, and the next wait is counted anew', async () => {
  const { launches, id, clock, inventory, alive } = await taken()
  await eventually('waits', () => launches.get(id)?.diagnosis)
  clock.advance(200_000)
  inventory.value = toGpus(1)
  await alive(1)
  clock.advance(200_000)
  expect(launches.get(id)).toMatchObject({ state: 'bootstrapping' })
  expect(launches.get(id)?.diagnosis).toBeUndefined()
})

test('one that may queue gives such a GPU back, takes another where it can, and else waits for as long as it takes', async () => {
  const picks = await taken({ gpu_count: 1, queue: true }, 2)
  await picks.alive(1)
  expect(picks.world.launches[0]?.gpus).toEqual([1])
  const { launches, id, clock, inventory, alive } = await taken({ queue: true })
  await eventually('in the queue', () => launches.get(id)?.queue_position === 1)
  await eventually('named', () => itsName.test(stageOf(launches, id) ?? ''))
  clock.advance(900_000)
  expect(launches.get(id)?.state).toBe('bootstrapping')
  inventory.value = toGpus(1)
  await alive(1)
})

test('memory that a stranger may give back is looked at every few seconds while a launch is in the queue for it', async () => {
  const asked = { count: 0 }
  const { launches, id, clock } = await taken({ queue: true }, 1, async () => void (asked.count += 1))
  await eventually('in the queue', () => launches.get(id)?.queue_position === 1)
  const [before, began] = [asked.count, clock.now()]
  await eventually('asked again and again', () => {
    if (clock.now() - began < 20_000) clock.advance(500)
    return asked.count >= before + 3
  })
})

test('what can never be had is not queued: GPUs that are not there, more of them, more memory than they have', async () => {
  const { launches } = (await fleetBed({ model: '' }, 2)).start()
  for (const more of [
    { gpu_ids: [2] },
    { gpu_count: 3 },
    { gpu_count: 1, min_free_mib: 80_001 },
    { gpu_ids: [1], min_free_mib: 80_001 },
  ])
    await expect(launches.create(toAsk(null, { queue: true, ...more }))).rejects.toMatchObject({ status: 400 })
  expect(launches.all.value).toEqual([])
})

test('so many launches may run or wait, and one more is a 429; whoever ends makes room', async () => {
  const { start, root, world, alive } = await fleetBed({ model: '' }, 1)
  const config = toConfig(root, { model: '' })
  const { launches } = start({ config: { ...config, launches: { ...config.launches, most: 3 } } })
  const ids: string[] = []
  for (const _ of 'abc') ids.push((await launches.create(toAsk([0], { queue: true }))).launch_id)
  const both = await Promise.allSettled([1, 2].map(() => launches.create(toAsk([0], { queue: true }))))
  for (const one of both)
    expect(one).toMatchObject({
      reason: { status: 429, message: expect.stringMatching(/^3 launches run or wait/) as string },
    })
  await launches.stop(ids[1]!, calm)
  await launches.create(toAsk([0], { queue: true }))
  expect(launches.get(ids[2]!)).toMatchObject({ state: 'bootstrapping', queue_position: 1 })
  await alive(1)
  expect(world.launches).toHaveLength(1)
})

test("who waits in the queue is told who has the GPUs, the node's own model as well", async () => {
  const { start, world, alive } = await fleetBed({}, 2)
  const { launches } = start()
  await alive(2)
  world.ready()
  const own = launches.all.value[0]?.launch_id ?? ''
  const { launch_id: id } = await launches.create(toAsk(null, { queue: true }))
  await eventually(
    'told',
    () => stageOf(launches, id) === `waiting for GPUs: gpu 0, 1 -> ${own} (the node's own model)`,
  )
  await launches.stop(own, { ...calm, force: true })
  await alive(1)
  expect(world.alive()[0]?.spec).toMatchObject({ model: 'Test/B', gpus: [0, 1] })
})

test("the node's own launch says which launch is on its GPU and how to end it, and starts once that has ended", async () => {
  const { start, world, alive } = await fleetBed({}, 1)
  const { launches, status } = start()
  await alive(1)
  world.ready()
  const own = launches.all.value[0]?.launch_id ?? ''
  await launches.stop(own, { ...calm, force: true })
  const { launch_id: id } = await launches.create(toAsk([0]))
  await alive(1)
  await launches.startNode()
  const told = { code: 'gpu-held-by-launch', remedy: expect.stringContaining(`gonka-node stop ${id}`) as string }
  await eventually('said', () => launches.get(own)?.diagnosis)
  expect(launches.get(own)).toMatchObject({ state: 'bootstrapping', error: null, diagnosis: told })
  expect(stageOf(launches, own)).toContain(id)
  expect(status.value).toMatchObject({ health: 'degraded', problem: told })
  await launches.stop(id, calm)
  await eventually('the own model again', () => world.alive()[0]?.spec.model === 'Test/A')
  expect(launches.get(own)?.diagnosis).toBeUndefined()
})
