import { expect, test } from 'vitest'
import { Refusal } from '../../src/core/errors.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed, forever } from './bed.ts'
import { allAre, order, same, serving, states } from './orders-bed.ts'

const refusalOf = (asked: Promise<unknown>): Promise<Refusal> =>
  asked.then(
    () => expect.unreachable('the order was accepted'),
    (error: unknown) => (error instanceof Refusal ? error : expect.unreachable(String(error))),
  )

test('stop answers at once, reports STOPPED and only parks; the grace over, the engines end', async () => {
  const { fleet, world, clock, alive } = await serving()
  expect(fleet.orders.service.value).toBe('INFERENCE')
  fleet.orders.stop()
  expect(fleet.orders.service.value).toBe('STOPPED')
  await allAre(fleet, 'parked')
  clock.advance(59_000)
  fleet.orders.stop()
  await eventually('still parked', () => world.alive().length === 2)
  expect(fleet.status.value.health).toBe('ok')
  clock.advance(1500)
  await alive(0)
  expect(fleet.orders.upStatus.value).toEqual({ status: 'not_started', isStarting: false, isRunning: false })
  expect(fleet.planned.value).toBeUndefined()
})

test.each([
  ['back', -86_400_000],
  ['on', 86_400_000],
])('a wall clock that steps a day %s neither shortens nor prolongs the grace of a stop', async (_, day) => {
  const { fleet, world, clock, alive } = await serving()
  fleet.orders.stop()
  await allAre(fleet, 'parked')
  clock.step(day)
  clock.advance(59_000)
  await eventually('still parked', () => world.alive().length === 2 && fleet.status.value.health === 'ok')
  clock.advance(1500)
  await alive(0)
})

test('an equivalent up un-parks at once, in whatever spelling, and the model stays loaded', async () => {
  const { fleet, world, clock } = await serving({ extraArgs: '--max-model-len 8192 --enforce-eager' })
  fleet.orders.stop()
  await allAre(fleet, 'parked')
  await fleet.orders.up(order('Test/A', '--enforce_eager', '--max_model_len=8192', '-tp', '1'), forever)
  expect(states(fleet)).toEqual(['serving', 'serving'])
  expect(fleet.orders.service.value).toBe('INFERENCE')
  clock.advance(120_000)
  await fleet.orders.up(order('Test/A', '--max-model-len', '8192', '--enforce-eager', '--dtype', 'bfloat16'), forever)
  expect(world.launches).toHaveLength(2)
})

test('an up after the grace is a fresh launch', async () => {
  const { fleet, world, clock, alive } = await serving()
  fleet.orders.stop()
  await allAre(fleet, 'parked')
  clock.advance(61_000)
  await alive(0)
  const up = fleet.orders.up(same, forever)
  await alive(2)
  world.ready()
  await up
  expect(world.launches).toHaveLength(4)
})

test('the same arguments with one more are a reload, without a stop before', async () => {
  const { fleet, world } = await serving()
  const up = fleet.orders.up(order('Test/A', '--enforce-eager'), forever)
  await eventually('new engines', () => world.launches.length === 4 && world.alive().length === 2)
  expect(fleet.orders.upStatus.value).toMatchObject({ status: 'in_progress', isStarting: true })
  world.ready()
  await up
  expect(fleet.planned.value?.owner).toBe('broker')
  expect(world.launches[2]?.args).toContain('--enforce-eager')
  expect(world.wrongs).toEqual([])
})

test('a stop during a load cancels the answer, not the load; the equivalent up joins it', async () => {
  const { start, world, alive } = await fleetBed()
  const fleet = start()
  await alive(2)
  const first = refusalOf(fleet.orders.up(same, forever))
  await eventually('loading', () => fleet.orders.upStatus.value.status === 'in_progress')
  fleet.orders.stop()
  expect(await first).toMatchObject({ code: 'startup-cancelled' })
  expect(fleet.orders.upStatus.value.status).toBe('cancelled')
  expect(fleet.orders.service.value).toBe('STOPPED')
  const [second, third] = [fleet.orders.up(same, forever), fleet.orders.up(order('Test/A', '-pp=1'), forever)]
  await eventually('loading on', () => fleet.orders.upStatus.value.isStarting)
  expect(fleet.orders.upStatus.value.elapsedSeconds).toBeGreaterThanOrEqual(0)
  world.ready()
  await Promise.all([second, third])
  expect(world.launches).toHaveLength(2)
})

test('a load that was stopped goes on in the background and is hidden when it is ready', async () => {
  const { start, world, alive } = await fleetBed()
  const fleet = start()
  await alive(2)
  await eventually('loading', () => fleet.orders.upStatus.value.status === 'in_progress')
  fleet.orders.stop()
  world.ready()
  await allAre(fleet, 'parked')
  await fleet.orders.up(same, forever)
  expect(states(fleet)).toEqual(['serving', 'serving'])
})

test('another model while one is starting is refused with 409; after a stop it is a reload', async () => {
  const { start, world, alive } = await fleetBed()
  const fleet = start()
  await alive(2)
  await eventually('loading', () => fleet.orders.upStatus.value.isStarting)
  expect(await refusalOf(fleet.orders.up(order('Test/B'), forever))).toMatchObject({
    code: 'startup-in-progress',
    status: 409,
  })
  fleet.orders.stop()
  const up = fleet.orders.up(order('Test/B'), forever)
  await eventually('B loads', () => world.alive().some((one) => one.spec.model === 'Test/B'))
  world.ready()
  await up
  expect(world.alive().map((one) => one.spec.model)).toEqual(['Test/B', 'Test/B'])
})

test('an order that this machine cannot carry out is refused with 400 and changes nothing', async () => {
  const { fleet, world } = await serving()
  const refused = await refusalOf(fleet.orders.up(order('Test/A', '--tensor-parallel-size', '16'), forever))
  expect(refused).toMatchObject({ code: 'impossible-order', status: 400 })
  expect(refused.message).toContain('16')
  const nameless = await refusalOf(fleet.orders.up(order('../../etc'), forever))
  expect(nameless).toMatchObject({ code: 'impossible-order', status: 400 })
  expect(states(fleet)).toEqual(['serving', 'serving'])
  expect(world.launches).toHaveLength(2)
})

test('a caller that goes away takes no order with it', async () => {
  const { start, world, alive } = await fleetBed({ inferenceNode: 'false' })
  const fleet = start()
  await eventually('idle', () => fleet.status.value.summary.startsWith('INFERENCE_NODE=false'))
  const caller = new AbortController()
  const up = fleet.orders.up(same, caller.signal)
  await alive(2)
  caller.abort(new Error('hung up'))
  await expect(up).rejects.toThrow('hung up')
  world.ready()
  await eventually('serves all the same', () => fleet.orders.upStatus.value.isRunning)
})

test('a load that fails answers with its diagnosis', async () => {
  const { start, world, alive } = await fleetBed({}, 1)
  const fleet = start()
  await alive(1)
  const up = refusalOf(fleet.orders.up(same, forever))
  let refused: Refusal | undefined
  void up.then((found) => (refused = found))
  await eventually('answered', () => {
    for (const one of world.alive()) world.crash(one)
    return refused
  })
  expect(refused).toMatchObject({ code: 'engine-failed', status: 500 })
  expect(refused?.message).toContain('boom')
  expect(fleet.orders.upStatus.value).toMatchObject({ status: 'failed', isRunning: false })
})

test('an up during the pause after a crash starts at once', async () => {
  const { fleet, world, alive } = await serving()
  for (const one of world.alive()) world.crash(one)
  await eventually('crashed', () => fleet.orders.upStatus.value.status === 'failed')
  const up = fleet.orders.up(same, forever)
  await alive(2)
  world.ready()
  await up
})

test('while the engines of an order before are being replaced another one is refused, and nobody is told of a stop', async () => {
  const { fleet, world } = await serving()
  world.endsAtOnce = false
  const first = fleet.orders.up(order('Test/B'), forever)
  const told = first.catch((error: unknown) => error)
  await eventually('the old ones end', () => world.alive().every((one) => one.phase === 'ending'))
  const busy = await refusalOf(fleet.orders.up(order('Test/C'), forever))
  expect(busy).toMatchObject({ code: 'startup-in-progress', status: 409 })
  world.endsAtOnce = true
  world.finishEnding()
  await eventually('B loads', () => world.alive().length === 2 && world.alive().every((one) => one.phase === 'loading'))
  world.ready()
  await first
  expect(await told).toBeUndefined()
})

test('who waits for a start that another order replaced is told so', async () => {
  const { fleet, world, filesOf } = await serving()
  filesOf('Test/B').value = { kind: 'downloading', bytesDone: 1, bytesTotal: 2, startedAt: new Date() }
  const first = refusalOf(fleet.orders.up(order('Test/B'), forever))
  await eventually('B is awaited', () => fleet.orders.upStatus.value.isStarting)
  await fleet.orders.up(same, forever)
  expect((await first).message).toContain('another order came after it')
  expect(world.launches).toHaveLength(2)
})

test('an order whose model is not here and will not come costs what runs nothing, and leaves nothing behind', async () => {
  const kept: string[][] = []
  const { fleet, world, filesOf } = await serving({}, { keepFiles: (refs) => kept.push(refs.map(({ repo }) => repo)) })
  filesOf('Test/B').value = { kind: 'looking' }
  const refused = refusalOf(fleet.orders.up(order('Test/B'), forever))
  await eventually('its files are looked for', () => kept.at(-1)?.includes('Test/B'))
  const problem = { code: 'model-offline', title: 'not here', evidence: 'Test/B', remedy: 'bring it' }
  filesOf('Test/B').value = { kind: 'missing', problem }
  expect(await refused).toMatchObject({ code: 'ordered-model-missing', status: 500 })
  expect((await refused).message).toContain('not here: Test/B (model-offline); bring it')
  await eventually('nobody asks for its files', () => !kept.at(-1)?.includes('Test/B'))
  expect(fleet.planned.value).toMatchObject({ model: 'Test/A', owner: 'configuration' })
  expect(fleet.orders.upStatus.value.status).toBe('completed')
  expect(states(fleet)).toEqual(['serving', 'serving'])
  fleet.orders.stop()
  await allAre(fleet, 'parked')
  expect((await refusalOf(fleet.orders.up(order('Test/B'), forever))).code).toBe('ordered-model-missing')
  await allAre(fleet, 'serving')
  expect(world.launches).toHaveLength(2)
})

test('orders that differ only in their arguments are at odds by the arguments, which are named at once', async () => {
  const { fleet, world } = await serving({ extraArgs: '--max-model-len 8192' })
  const other = order('Test/A', '--max-model-len', '4096', '--some-token', 'geheim')
  for (const [at, next] of [other, order('Test/A', '--max-model-len', '8192')].entries()) {
    const up = fleet.orders.up(next, forever)
    await eventually('it loads', () => world.launches.length === 4 + 2 * at && world.alive().length === 2)
    world.ready()
    await up
  }
  const { message } = await refusalOf(fleet.orders.up(other, forever))
  expect(message).toContain('Test/A was ordered with --max-model-len 4096 instead of 8192, another --some-token')
  expect(message).not.toContain('geheim')
  // The clock of the test stands still: nothing but the refusal itself wakes the fleet.
  await eventually('said', () => fleet.status.value.problem?.code === 'orders-conflict')
  expect(fleet.status.value.health).toBe('degraded')
})

test('two API nodes in turn: the third turn is refused, and what its stop parked goes on', async () => {
  const { fleet, world, clock } = await serving()
  for (const model of ['Test/B', 'Test/A']) {
    fleet.orders.stop()
    const up = fleet.orders.up(order(model), forever)
    await eventually(
      `${model} loads`,
      () => world.alive().length === 2 && world.alive().every((one) => one.spec.model === model),
    )
    world.ready()
    await up
  }
  fleet.orders.stop()
  expect(await refusalOf(fleet.orders.up(order('Test/B'), forever))).toMatchObject({
    code: 'orders-conflict',
    status: 409,
  })
  await allAre(fleet, 'serving')
  await eventually('said', () => fleet.status.value.problem?.code === 'orders-conflict')
  expect(world.launches).toHaveLength(6)
  clock.advance(1_900_000)
  const up = fleet.orders.up(order('Test/B'), forever)
  await eventually('B after half an hour', () => world.alive().every((one) => one.spec.model === 'Test/B'))
  await eventually('two', () => world.alive().length === 2)
  world.ready()
  await up
})

test('an order that cannot run is not kept: the way back from it is open however often it was gone', async () => {
  const { fleet, world, filesOf } = await serving()
  for (const model of ['Test/B', 'Test/C', 'Test/D', 'Test/E']) {
    filesOf(model).value = { kind: 'missing', problem: { code: 'x', title: 'not here', evidence: '', remedy: '' } }
    expect((await refusalOf(fleet.orders.up(order(model), forever))).status).toBe(500)
    fleet.orders.stop()
    await fleet.orders.up(same, forever)
  }
  await allAre(fleet, 'serving')
  expect(world.launches).toHaveLength(2)
})
