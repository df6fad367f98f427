import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { calm, fleetBed, toAsk } from './bed.ts'

test('a launch starts an engine of its own, becomes ready, and is stopped with its GPUs free', async () => {
  const { start, world, alive } = await fleetBed({ model: '' }, 2)
  const { launches, upstreams } = start()
  const made = await launches.create(toAsk([1], { extra_kwargs: { max_model_len: 4096, enforce_eager: true } }))
  expect(made).toMatchObject({ model: 'Test/B', gpu_ids: [1], task: 'generate', state: 'bootstrapping', error: null })
  await alive(1)
  expect(world.launches[0]).toMatchObject({ gpus: [1], owner: `launch:${made.launch_id}`, hasPoc: false })
  expect(world.launches[0]?.argv.join(' ')).toMatch(/--tensor-parallel-size 1 --max-model-len 4096 --enforce-eager/)
  world.ready()
  await eventually('ready', () => launches.get(made.launch_id)?.state === 'ready')
  expect(launches.upstreams(made.launch_id)).toHaveLength(1)
  expect(upstreams.value).toEqual([])
  expect(await launches.stop(made.launch_id, calm)).toMatchObject({ state: 'stopped', error: null })
  expect(world.alive()).toEqual([])
  expect(await launches.stop(made.launch_id, calm)).toMatchObject({ state: 'stopped' })
  expect((await launches.create(toAsk(null))).gpu_ids).toEqual([0, 1])
})

test("the node's own model is one of the launches, keeps its GPUs, and gives them up to a forced stop alone", async () => {
  const { start, end, world, alive } = await fleetBed({ tensorParallel: '2' }, 3)
  const first = start()
  await alive(1)
  world.ready()
  await eventually('ready', () => first.launches.all.value[0]?.state === 'ready')
  const [own] = first.launches.all.value
  expect(own).toMatchObject({ model: 'Test/A', gpu_ids: [0, 1], owner: 'configuration' })
  const id = own?.launch_id ?? ''
  await expect(first.launches.create(toAsk(null))).rejects.toMatchObject({
    status: 409,
    message: `Requested GPUs are in use (gpu 0 -> ${id}, gpu 1 -> ${id})`,
  })
  expect((await first.launches.create(toAsk([2]))).gpu_ids).toEqual([2])
  await expect(first.launches.stop(id, calm)).rejects.toMatchObject({ status: 409 })
  expect(await first.launches.stop(id, { force: true, within: 5000 })).toMatchObject({ state: 'stopped', gpu_ids: [] })
  expect((await first.launches.create(toAsk([0]))).gpu_ids).toEqual([0])
  await alive(2)
  await end(first, 'restart')
  const second = start()
  await eventually('all are known', () => second.launches.all.value.length === 3)
  await eventually('the stop and the id stay', () => second.launches.get(id)?.state === 'stopped')
  await second.launches.startNode()
  await eventually('a GPU is in the way', () => second.engines.value.some((one) => /GPU 0 is/.test(one.stage ?? '')))
  for (const one of second.launches.all.value) if (!one.owner) await second.launches.stop(one.launch_id, calm)
  await alive(1)
  expect(world.alive()[0]?.spec.model).toBe('Test/A')
})

test('whoever is told that the node has stopped finds its GPUs free: not before its engine is struck from the list', async () => {
  const { start, world, alive } = await fleetBed({}, 1)
  const fleet = start()
  await alive(1)
  world.ready()
  await eventually('ready', () => fleet.launches.all.value[0]?.state === 'ready')
  const id = fleet.launches.all.value[0]?.launch_id ?? ''
  Object.assign(world, { endsAtOnce: false, explainsAtOnce: false })
  const stopping = fleet.launches.stop(id, { force: true, within: 20_000 })
  await eventually('it ends', () => world.alive()[0]?.phase === 'ending')
  for (const one of world.alive()) world.crash(one)
  expect(fleet.launches.get(id)).toMatchObject({ state: 'stopping', gpu_ids: [0] })
  world.explain()
  expect(await stopping).toMatchObject({ state: 'stopped', gpu_ids: [] })
  expect((await fleet.launches.create(toAsk(null))).gpu_ids).toEqual([0])
})

const isThere = (folder: string, name: string) => readdir(folder).then((names) => names.includes(name))

test("the id of the node's own launch is not given up for a file that cannot be read now", async () => {
  const { start, end, root, clock } = await fleetBed({}, 1)
  const folder = join(root, 'state', 'launches')
  const first = start()
  const { launch_id: id } = await eventually('stored', async () => {
    return (await isThere(folder, 'node.json')) ? first.launches.all.value[0] : undefined
  })
  await end(first, 'restart')
  await rename(join(folder, 'node.json'), join(folder, 'kept'))
  await mkdir(join(folder, 'node.json'))
  const second = start()
  const given = await eventually('a new one meanwhile', () => second.launches.all.value[0]?.launch_id)
  await expect(second.launches.create(toAsk(null))).rejects.toMatchObject({ status: 409 })
  expect(given).not.toBe(id)
  await rm(join(folder, 'node.json'), { recursive: true })
  await rename(join(folder, 'kept'), join(folder, 'node.json'))
  await eventually('the stored one', () => {
    clock.advance(1000)
    return second.launches.get(id)
  })
  await end(second, 'restart')
  await writeFile(join(folder, 'node.json'), '{')
  const third = start()
  await eventually('kept aside', () => isThere(folder, 'node.json.bad'))
  expect(await readFile(join(folder, 'node.json.bad'), 'utf8')).toBe('{')
  await eventually('a new one', async () =>
    (await readFile(join(folder, 'node.json'), 'utf8')).includes(third.launches.all.value[0]?.launch_id ?? '-'),
  )
})

test("a broker may stop the node for good, and its GPUs are still no launch's", async () => {
  const { start, clock, world, alive } = await fleetBed({}, 1)
  const fleet = start()
  await alive(1)
  fleet.orders.stop()
  await eventually('parked', () => fleet.engines.value[0]?.phase === 'parked')
  clock.advance(70_000)
  await eventually('ended', () => world.alive().length === 0)
  await expect(fleet.launches.create(toAsk(null))).rejects.toMatchObject({ status: 409 })
})

test('a start of the node that wants nothing says why and what to do', async () => {
  const waits = (await fleetBed({ inferenceNode: 'false' })).start()
  await expect(waits.launches.startNode()).rejects.toMatchObject({
    status: 409,
    code: 'node-wants-nothing',
    message: expect.stringMatching(/INFERENCE_NODE=false leaves the start of Test\/A to the broker/) as string,
    remedy: expect.stringContaining('gonka-node launch Test/A') as string,
  })
  const bare = (await fleetBed({ model: '' })).start()
  const told = expect.stringContaining('MODEL_NAME is not set') as string
  await expect(bare.launches.startNode()).rejects.toMatchObject({ code: 'node-wants-nothing', message: told })
})
