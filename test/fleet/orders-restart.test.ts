// Orders and the daemon's own restarts: what outlives it, and what the first moments of the next one must not get wrong.
import { expect, test } from 'vitest'
import { parseArgs } from '../../src/engine/args.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed, forever, toConfig } from './bed.ts'
import { allAre, order, same, serving, states } from './orders-bed.ts'

test('what is told of the launched engines is what was launched, under an order as well, and registration keeps its own', async () => {
  const { fleet, world, start, end, clock, alive } = await serving({ extraArgs: '--max-model-len 8192' })
  const told = (one: Fleet) => parseArgs(one.launchedArgs.value ?? []).get('max-model-len')
  expect(told(fleet)).toBe('8192')
  const up = fleet.orders.up(order('Test/A', '--max-model-len', '4096'), forever)
  await eventually('the next ones', () => world.launches.length === 4 && world.alive().length === 2)
  world.ready()
  await up
  expect(told(fleet)).toBe('4096')
  expect(parseArgs(fleet.configuredArgs.value ?? []).get('max-model-len')).toBe('8192')
  await end(fleet, 'restart')
  const second = start()
  await allAre(second, 'serving')
  expect(told(second)).toBe('4096')
  second.orders.stop()
  await allAre(second, 'parked')
  clock.advance(61_000)
  await alive(0)
  expect(told(second)).toBe('8192')
})

test('an order outlives the daemon, but neither a reboot nor another MODEL_NAME', async () => {
  const { fleet, world, start, end, root, alive } = await serving()
  const up = fleet.orders.up(order('Test/B'), forever)
  await eventually('B loads', () => world.alive().length === 2 && world.alive()[0]?.spec.model === 'Test/B')
  world.ready()
  await up
  await end(fleet, 'restart')
  const second = start()
  await allAre(second, 'serving')
  await eventually('planned', () => second.planned.value?.model === 'Test/B' && second.planned.value.owner === 'broker')
  await end(second, 'stop')
  const third = start({ bootId: 'boot-2' })
  await alive(2)
  expect(third.planned.value).toMatchObject({ model: 'Test/A', owner: 'configuration' })
  third.orders.stop()
  await third.orders.upAsync(order('Test/B'))
  await end(third, 'stop')
  const fourth = start({ bootId: 'boot-2', config: toConfig(root, { model: 'Test/C' }) })
  await alive(2)
  expect(fourth.planned.value).toMatchObject({ model: 'Test/C', owner: 'configuration' })
})

test('a stop outlives the daemon with what is left of its grace', async () => {
  const { fleet, world, start, end, clock, alive } = await serving()
  fleet.orders.stop()
  clock.advance(40_000)
  await end(fleet, 'restart')
  const second = start()
  await allAre(second, 'parked')
  expect(second.orders.service.value).toBe('STOPPED')
  clock.advance(15_000)
  await eventually('still there', () => world.alive().length === 2)
  clock.advance(6000)
  await alive(0)
})

test('a stop whose grace ran out while no daemon was there leaves the broker some time for its up', async () => {
  const { fleet, world, start, end, clock, alive } = await serving()
  fleet.orders.stop()
  await allAre(fleet, 'parked')
  await end(fleet, 'restart')
  clock.advance(70_000)
  const second = start()
  await allAre(second, 'parked')
  clock.advance(15_000)
  await second.orders.up(same, forever)
  await allAre(second, 'serving')
  second.orders.stop()
  await end(second, 'restart')
  clock.advance(70_000)
  const third = start()
  await allAre(third, 'parked')
  clock.advance(21_000)
  await alive(0)
  expect(world.launches).toHaveLength(2)
})

test('an up that comes before the GPUs are counted is compared once they are, not refused as another order', async () => {
  const { start, end, alive, world, inventory } = await fleetBed()
  const first = start()
  await alive(2)
  await end(first, 'restart')
  const counted = inventory.value
  inventory.value = { kind: 'unknown' }
  const second = start()
  await eventually('they load', () => states(second).length === 2)
  // As the broker spells it: the registered arguments, whose dtype was resolved on this machine.
  const up = second.orders.up(order('Test/A', '--dtype', 'bfloat16', '--tensor-parallel-size', '1'), forever)
  await eventually('nothing is decided', () => second.orders.upStatus.value.isStarting)
  inventory.value = counted
  world.ready()
  await up
  expect(second.planned.value?.owner).toBe('configuration')
  expect(world.launches).toHaveLength(2)
})

test('what the operator stopped no broker starts, not even after a restart of the daemon, until he takes it back', async () => {
  const { fleet, world, start, end, clock, alive } = await serving()
  const halt = async (one: Fleet) => {
    const own = await eventually('the own launch', () => one.launches.all.value[0])
    expect(await one.launches.stop(own.launch_id, { force: true, within: 5000 })).toMatchObject({ state: 'stopped' })
  }
  /** As a broker does it each time it looks: stop, then up. */
  const refuses = async (one: Fleet) => {
    one.orders.stop()
    const told = {
      code: 'node-stopped-by-operator',
      status: 409,
      remedy: expect.stringContaining('launch --node') as string,
    }
    await expect(one.orders.up(same, forever)).rejects.toMatchObject(told)
    await expect(one.orders.upAsync(order('Test/B'))).rejects.toMatchObject(told)
    expect(one.orders.upStatus.value).toEqual({ status: 'not_started', isStarting: false, isRunning: false })
    expect(one.orders.service.value).toBe('STOPPED')
  }
  await halt(fleet)
  await refuses(fleet)
  await end(fleet, 'restart')
  const second = start()
  await eventually('said', () => second.status.value.summary.startsWith('stopped by the operator'))
  expect(second.status.value.health).toBe('ok')
  clock.advance(120_000)
  await refuses(second)
  expect(world.alive()).toEqual([])
  await second.launches.startNode()
  await alive(2)
  world.ready()
  await second.orders.up(same, forever)
  await halt(second)
  await end(second, 'stop')
  start()
  await alive(2)
})
