// CUDA_VISIBLE_DEVICES names the GPUs where no nvidia-smi does (contracts/control-plane.md A1.5).
import { expect, test } from 'vitest'
import { ask } from '../machine/asks.ts'
import { startWorld } from '../machine/world.ts'
import { createLaunchCalls, standsAlone } from './launch-calls.ts'

test('on a machine without nvidia-smi CUDA_VISIBLE_DEVICES=0,1 is two GPUs, over REST from the launch to its end', async () => {
  const world = await startWorld({
    gpus: 0,
    set: { ...standsAlone, REHEARSAL_LOAD_MS: '50' },
    environment: { CUDA_VISIBLE_DEVICES: '0,1' },
  })
  await world.untilPart('gpu', 'is looked for', ({ health }) => health === 'off')
  const { launch, refused, stop, untilState, pidsOn, list } = createLaunchCalls(world)
  expect(await refused({ gpu_ids: [2] }, 400)).toBe('Requested GPUs are not available: [2]')
  const one = await launch({ gpu_ids: [0] })
  expect(await refused({})).toBe(`Requested GPUs are in use (gpu 0 -> ${one.launch_id})`)
  const other = await launch({ gpu_count: 1 })
  expect(other.gpu_ids).toEqual([1])
  for (const { launch_id: id } of [one, other]) await untilState(id, 'ready')
  expect([(await pidsOn(0)).length, (await pidsOn(1)).length].every((count) => count > 0)).toBe(true)
  expect(await refused({ gpu_ids: null })).toBe(
    `Requested GPUs are in use (gpu 0 -> ${one.launch_id}, gpu 1 -> ${other.launch_id})`,
  )
  // No nvidia-smi: nobody waits for what cannot be counted.
  for (const { launch_id: id } of [one, other]) expect(await stop(id)).toMatchObject({ state: 'stopped', error: null })
  const all = await launch({})
  expect(all.gpu_ids).toEqual([0, 1])
  await stop(all.launch_id)
  expect(await list()).toEqual([])
  const stats = JSON.parse((await ask(`${world.control}/stats`)).text) as object
  expect(stats).toMatchObject({ gpus: [], gpu_count: 0, nvidia_smi_error: 'nvidia-smi is unavailable on this host.' })
})
