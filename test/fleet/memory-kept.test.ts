// A lease ends when the memory is gone, and not with the last process: what launches, the node and the next daemon make of it.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LaunchRequest } from '../../src/api/launches.ts'
import type { Launches } from '../../src/fleet/launches.ts'
import { eventually } from '../support/eventually.ts'
import { calm, fleetBed, toAsk, toGpus } from './bed.ts'

const untilState = (launches: Launches, id: string, state: string) =>
  eventually(`${id} is ${state}`, () => launches.get(id)?.state === state)

/** A launch that is ready on the only GPU. */
async function ready(more: Partial<LaunchRequest> = {}) {
  const bed = await fleetBed({ model: '' }, 1)
  const fleet = bed.start()
  const { launch_id: id } = await fleet.launches.create(toAsk([0], more))
  await bed.alive(1)
  bed.world.ready()
  await untilState(fleet.launches, id, 'ready')
  return { ...bed, fleet, launches: fleet.launches, id, engine: bed.world.alive()[0]! }
}

test.for([
  ['crashed', 'failed'],
  ['was stopped', 'stopped'],
] as const)(
  'a launch that %s is not %s, and has its GPU, for as long as the memory is not back',
  async ([how, end]) => {
    // Its time is over meanwhile: that is no end that somebody asked for.
    const { world, launches, id, engine, clock, alive } = await ready({ ttl_seconds: 60 })
    world.endsAtOnce = false
    const before = launches.get(id)?.updated_at ?? ''
    if (how === 'was stopped') await launches.stop(id, { force: false, within: 1 })
    world.keepMemory(engine)
    clock.advance(3_600_000)
    await eventually('told', () => launches.get(id)?.diagnosis)
    // What has failed says so before it has ended.
    expect(launches.get(id)).toMatchObject({ state: 'stopping', diagnosis: { code: 'gpu-memory-kept' } })
    expect(launches.get(id)?.error?.startsWith('crashed: boom') ?? false).toBe(how === 'crashed')
    expect((launches.get(id)?.updated_at ?? '') > before).toBe(true)
    expect(launches.status.value).toMatchObject({ health: 'degraded', problem: { code: 'gpu-memory-kept' } })
    await expect(launches.create(toAsk([0]))).rejects.toMatchObject({
      status: 409,
      message: `Requested GPUs are in use (gpu 0 -> ${id})`,
    })
    const waits = await launches.create(toAsk([0], { queue: true }))
    world.memoryBack(engine)
    await untilState(launches, id, end)
    expect(launches.get(id)?.diagnosis?.code).toBe(end === 'failed' ? 'cuda-oom-test' : undefined)
    await alive(1)
    expect(world.launches.map((one) => one.owner)).toEqual([`launch:${id}`, `launch:${waits.launch_id}`])
    expect(launches.status.value.health).toBe('ok')
  },
)

test('a stop of the daemon does not wait for such memory for ever, and the next daemon goes on waiting', async () => {
  const { fleet, start, root, world, launches, id, engine } = await ready()
  world.endsAtOnce = false
  const done = fleet.end('stop')
  await eventually('asked to end', () => engine.phase === 'ending')
  world.keepMemory(engine)
  await done
  const record = JSON.parse(await readFile(join(root, 'state', 'launches', `${id}.json`), 'utf8')) as { state: string }
  expect(record.state).toBe('stopping')
  expect(launches.get(id)?.state).toBe('stopping')
  const next = start()
  await eventually('known', () => next.launches.get(id))
  await expect(next.launches.create(toAsk([0]))).rejects.toMatchObject({ status: 409 })
  expect(next.launches.get(id)?.state).toBe('stopping')
  world.memoryBack(engine)
  await untilState(next.launches, id, 'stopped')
  expect(await next.launches.create(toAsk([0]))).toMatchObject({ gpu_ids: [0] })
})

test('the node starts its crashed engine again once the wait has become a problem, as soon as the GPU looks free', async () => {
  const { start, world, alive, inventory, clock } = await fleetBed({}, 1)
  start()
  await alive(1)
  world.ready()
  world.keepMemory(world.alive()[0]!)
  await alive(0)
  await eventually('it runs again', () => {
    clock.advance(1000)
    inventory.value = toGpus(1)
    return world.alive().length === 1
  })
  expect(world.launches).toHaveLength(2)
})

test("what the operator stopped keeps the node's GPU until its memory is back, and says so", async () => {
  const { start, world, alive, clock } = await fleetBed({}, 1)
  const { launches } = start()
  await alive(1)
  world.ready()
  world.endsAtOnce = false
  const own = launches.all.value[0]?.launch_id ?? ''
  await launches.stop(own, { force: true, within: 1 })
  const engine = world.alive()[0]!
  world.keepMemory(engine)
  clock.advance(3_600_000)
  await eventually('told', () => launches.get(own)?.diagnosis?.code === 'gpu-memory-kept')
  const { launch_id: id } = await launches.create(toAsk([0], { queue: true }))
  expect(launches.get(own)?.state).toBe('stopping')
  expect(launches.get(id)?.queue_position).toBe(1)
  world.memoryBack(engine)
  await untilState(launches, own, 'stopped')
  await alive(1)
  expect(world.alive()[0]?.spec.owner).toBe(`launch:${id}`)
  expect(await launches.stop(id, { ...calm, within: 1 })).toMatchObject({ state: 'stopping' })
})
