import { expect, test } from 'vitest'
import type { LaunchRequest } from '../../src/api/launches.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed } from './bed.ts'

export const toAsk = (more: Partial<LaunchRequest> = {}): LaunchRequest => ({
  model: 'Test/B',
  gpu_ids: null,
  task: 'generate',
  extra_kwargs: {},
  ...more,
})

const calm = { force: false, within: 5000 }

test('a launch starts an engine of its own, becomes ready, and is stopped with its GPUs free', async () => {
  const { start, world, alive } = await fleetBed({ model: '' }, 2)
  const { launches, upstreams } = start()
  const made = await launches.create(
    toAsk({ gpu_ids: [1], extra_kwargs: { max_model_len: 4096, enforce_eager: true } }),
  )
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
  expect((await launches.create(toAsk())).gpu_ids).toEqual([0, 1])
})
