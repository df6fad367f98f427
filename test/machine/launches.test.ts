// Launches beside the node's own model in the whole daemon, with real processes: they outlive the daemon, end as they should,
// and touch nothing that is not theirs.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { LaunchResponse } from '../../src/api/launches.ts'
import { eventually } from '../support/eventually.ts'
import { ask, enginePids, model, orderStop } from './asks.ts'
import { startWorld, type World } from './world.ts'

const patience = 60_000

async function post(world: World, body: Record<string, unknown>): Promise<LaunchResponse> {
  const answer = await ask(`${world.control}/launch`, {
    body,
    headers: { 'content-type': 'application/json' },
    ms: 30_000,
  })
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 201 })
  return JSON.parse(answer.text) as LaunchResponse
}

async function look(world: World, id: string): Promise<LaunchResponse> {
  return JSON.parse((await ask(`${world.control}/status/${id}`)).text) as LaunchResponse
}

const untilState = (world: World, id: string, state: string) =>
  eventually(
    `${id} is ${state}`,
    async () => {
      const found = await look(world, id).catch(() => undefined)
      return found?.state === state ? found : undefined
    },
    patience,
  )

const stop = async (world: World, id: string) => {
  const answer = await ask(`${world.control}/stop/${id}`, { method: 'POST', ms: 40_000 })
  return { ...(JSON.parse(answer.text) as LaunchResponse), status: answer.status, ms: answer.ms }
}

/** Of the engine on that GPU: it alone sees it. */
const pidsOn = async (world: World, gpu: number) =>
  (await world.processes())
    .filter(({ kind, pid }) => kind === 'engine' && readEnviron(pid).includes(`CUDA_VISIBLE_DEVICES=${gpu}`))
    .map(({ pid }) => pid)

function readEnviron(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}

test('launches run beside the node, outlive a killed daemon, fail with a reason, and leave their GPUs and the node alone', async () => {
  const world = await startWorld({ gpus: 4, set: { NODE_GPUS: '0-1' } })
  await world.untilPart('fleet', 'serves', ({ summary }) => summary.startsWith('2 of 2 engines serve'), patience)
  const own = await enginePids(world)
  const first = await post(world, { model, gpu_ids: [2], extra_kwargs: { max_model_len: 1024 } })
  const second = await post(world, { model, gpu_ids: [3] })
  for (const { launch_id: id } of [first, second]) await untilState(world, id, 'ready')
  const refused = await ask(`${world.control}/launch`, {
    body: { model },
    headers: { 'content-type': 'application/json' },
  })
  expect(refused.status).toBe(409)
  expect(JSON.parse(refused.text)).toEqual({
    detail: expect.stringContaining(`gpu 2 -> ${first.launch_id}, gpu 3 -> ${second.launch_id})`) as string,
  })

  await orderStop(world)
  await world.kill('SIGKILL')
  world.start()
  for (const { launch_id: id } of [first, second]) await untilState(world, id, 'ready')

  const [pid] = await pidsOn(world, 3)
  process.kill(pid ?? Number.NaN, 'SIGKILL')
  const failed = await untilState(world, second.launch_id, 'failed')
  expect(failed.error).toMatch(/killed/i)
  expect((await ask(`${world.control}/logs/${second.launch_id}`)).text).toContain('content')
  const third = await post(world, { model, gpu_count: 1 })
  expect(third.gpu_ids).toEqual([3])
  expect(await stop(world, third.launch_id)).toMatchObject({ status: 200, state: 'stopped', error: null })
  expect(await stop(world, first.launch_id)).toMatchObject({ state: 'stopped' })
  await eventually('the GPUs are free', async () => (await pidsOn(world, 2)).length === 0)
  expect(await enginePids(world)).toEqual(own)
})

test('a deaf engine is killed within the time of a stop, and its GPU is free when the stop is answered', async () => {
  const world = await startWorld({
    gpus: 2,
    set: { NODE_GPUS: '0', VLLM_STOP_TIMEOUT_SECONDS: '3', REHEARSAL_DEAF: 'all' },
  })
  await world.untilPart('fleet', 'serves', ({ health }) => health === 'ok', patience)
  const deaf = await post(world, { model, gpu_ids: [1] })
  await untilState(world, deaf.launch_id, 'ready')
  expect(await stop(world, deaf.launch_id)).toMatchObject({ state: 'stopped' })
  expect(await pidsOn(world, 1)).toEqual([])
})
