// A machine with eight GPUs end to end: the node's own model on two of them, launches on the others, callers who want the same GPU at
// the same moment, and a broker beside them. The tests are one story of one daemon and run in order.
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isTerminal } from '../../src/api/launches.ts'
import { ask, enginePids, model, orderStop } from '../machine/asks.ts'
import { startWorld, type World } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'
import { writeQuickEngine } from '../support/quick-engine.ts'
import { createLaunchCalls, standsAlone } from './launch-calls.ts'

type Story = ReturnType<typeof createLaunchCalls> & {
  world: World
  /** Of the node's own launch. */
  own: string
  /** Has GPU 2. */
  winner: string
}
const story = {} as Story
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gonka-eight-'))
  ends.push(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  const world = await startWorld({
    gpus: 8,
    engine: (await writeQuickEngine(folder, 'v1-overlay')).python,
    // No API node of its own: every order is this file's.
    set: { ...standsAlone, MODEL_NAME: model, NODE_GPUS: '0-1', LAUNCH_KEEP: '2', REHEARSAL_LOAD_MS: '50' },
    lastsUntil: (end) => void ends.push(end),
  })
  Object.assign(story, { world, ...createLaunchCalls(world) })
  await world.untilPart('fleet', 'serves', ({ summary }) => summary.startsWith('2 of 2 engines serve'))
  story.own = (await story.list())[0]!.launch_id
}, 120_000)
afterAll(async () => {
  for (const end of ends.toReversed()) await end()
}, 60_000)

test('of many who ask for the same GPU at the same time exactly one gets it, and every other one is told who', async () => {
  const { post, list, own } = story
  const asks = [[2], [2, 3], [2], [3, 2, 2], [2], [2], [2, 3], [2]]
  const answers = await Promise.all(asks.map((gpu_ids) => post({ gpu_ids })))
  const taken = answers.filter(({ status }) => status === 201)
  expect(taken).toHaveLength(1)
  const { launch_id: id, gpu_ids: its } = JSON.parse(taken[0]!.text) as { launch_id: string; gpu_ids: number[] }
  for (const [at, { status, text }] of answers.entries()) {
    if (status === 201) continue
    const held = [2, 3].filter((gpu) => asks[at]!.includes(gpu) && its.includes(gpu))
    const who = held.map((gpu) => `gpu ${gpu} -> ${id}`).join(', ')
    expect({ status, text }).toEqual({
      status: 409,
      text: JSON.stringify({ detail: `Requested GPUs are in use (${who})` }),
    })
  }
  expect((await list()).map((one) => [one.launch_id, one.gpu_ids])).toEqual([
    [own, [0, 1]],
    [id, its],
  ])
  story.winner = id
})

test('GPUs are picked by number, named, or all; what is not there or not free is told in the words of the contract', async () => {
  const { launch, refused, look, own, winner } = story
  const its = (await look(winner)).gpu_ids
  const free = [2, 3, 4, 5, 6, 7].filter((gpu) => !its.includes(gpu))
  const [two, named] = await Promise.all([launch({ gpu_count: 2 }), launch({ gpu_ids: [7] })])
  expect(two.gpu_ids).toEqual(free.slice(0, 2))
  expect(named.gpu_ids).toEqual([7])
  const holders = new Map([
    ...[0, 1].map((gpu) => [gpu, own] as const),
    ...its.map((gpu) => [gpu, winner] as const),
    ...two.gpu_ids.map((gpu) => [gpu, two.launch_id] as const),
    [7, named.launch_id] as const,
  ])
  const all = [...holders].toSorted(([a], [b]) => a - b).map(([gpu, who]) => `gpu ${gpu} -> ${who}`)
  expect(await refused({ gpu_ids: null })).toBe(`Requested GPUs are in use (${all.join(', ')})`)
  expect(await refused({ gpu_ids: [8, 2, 9] }, 400)).toBe('Requested GPUs are not available: [8, 9]')
  expect(await refused({ gpu_ids: [] }, 400)).toBe('gpu_ids cannot be empty')
  expect(await refused({ gpu_count: 9 }, 400)).toBe('Requested GPUs are not available: 9 of 8')
  await Promise.all([two, named].map((one) => story.stop(one.launch_id)))
})

test('who waits in the queue has a place in it, moves up, and is started when its GPU is free', async () => {
  const { launch, look, stop, untilState, winner, pidsOn } = story
  const first = await launch({ gpu_ids: [2], queue: true })
  const second = await launch({ gpu_count: 7, queue: true })
  const third = await launch({ gpu_ids: [2], queue: true })
  expect([first, second, third].map((one) => one.queue_position)).toEqual([1, 2, 3])
  expect(await stop(second.launch_id)).toMatchObject({ state: 'stopped', error: null })
  expect(await look(third.launch_id)).toMatchObject({ state: 'bootstrapping', queue_position: 2 })
  await untilState(winner, 'ready')
  await stop(winner)
  expect(await untilState(first.launch_id, 'ready')).toMatchObject({ gpu_ids: [2] })
  expect(await look(third.launch_id)).toMatchObject({ queue_position: 1 })
  await stop(first.launch_id)
  await untilState(third.launch_id, 'ready')
  expect((await look(third.launch_id)).queue_position).toBeUndefined()
  expect(await pidsOn(2)).not.toEqual([])
  story.winner = third.launch_id
})

test("a broker's stop, up and reload of the node's own model never touch a launch, and give it no GPU of the node", async () => {
  const { world, look, pidsOn, refused, winner, own } = story
  const [before, nodes] = [await pidsOn(2), await enginePids(world)]
  // Answered when it serves: two engines load anew, on a machine that may be busy.
  const up = (...additional_args: string[]) =>
    ask(`${world.node}/api/v1/inference/up`, { body: { model, dtype: 'auto', additional_args }, ms: 120_000 })
  const untouched = async () => {
    expect(await pidsOn(2)).toEqual(before)
    expect(await look(winner)).toMatchObject({ state: 'ready', gpu_ids: [2] })
    expect(await refused({ gpu_ids: [0] })).toBe(`Requested GPUs are in use (gpu 0 -> ${own})`)
  }
  expect((await orderStop(world)).status).toBe(200)
  await untouched()
  expect((await up()).status).toBe(200)
  expect(await enginePids(world)).toEqual(nodes)
  await untouched()
  expect((await up('--max-model-len', '2048')).status).toBe(200)
  await eventually('the node has loaded anew', async () => {
    const now = await enginePids(world)
    return now.length === 2 && now.every((pid) => pid !== undefined && !nodes.includes(pid))
  })
  await untouched()
  const { updated_at } = await look(winner)
  expect((await orderStop(world)).status).toBe(200)
  await untouched()
  expect((await look(winner)).updated_at).toBe(updated_at)
})

test('a launch ends by itself when its time is over, and when nobody has used it', async () => {
  const { launch, untilState, look } = story
  const [timed, idle] = await Promise.all([
    launch({ gpu_ids: [4], ttl_seconds: 1, idle_stop_seconds: 3600 }),
    launch({ gpu_ids: [5], ttl_seconds: 3600, idle_stop_seconds: 1 }),
  ])
  expect(timed).toMatchObject({ ttl_seconds: 1 })
  expect(idle).toMatchObject({ idle_stop_seconds: 1 })
  for (const { launch_id: id } of [timed, idle]) expect((await untilState(id, 'stopped')).error).toBeNull()
  expect((await look(story.winner)).state).toBe('ready')
})

test('of the launches that have ended only so many, so old and so many bytes are kept, and their logs go with them', async () => {
  const { world, list, winner } = story
  const logs = () => readdirSync(join(world.machine.folder, 'log')).filter((name) => name.startsWith('launch-'))
  const ended = async () => (await list(true)).filter((one) => isTerminal(one.state)).map((one) => one.launch_id)
  const untilKept = async (count: number) => {
    const isSo = async () => {
      const ids = [...(await ended()), winner]
      return ids.length === count + 1 && logs().every((name) => ids.some((id) => name.includes(id)))
    }
    await eventually(`${count} are kept`, isSo).catch(async (error: unknown) => {
      throw new Error(`kept: ${JSON.stringify([await list(true), logs()])}`, { cause: error })
    })
  }
  const again = async (...changes: [name: string, value: string][]) => {
    await world.kill('SIGKILL')
    for (const change of changes) await world.setEnv(...change)
    world.start()
    await eventually('it answers', () => list(), 60_000)
  }
  await untilKept(2)
  await again(['LAUNCH_KEEP_AGE', '10ms'])
  await untilKept(0)
  await again(['LAUNCH_KEEP_AGE', '168h'], ['LAUNCH_KEEP_BYTES', '100'])
  const next = await story.launch({ gpu_ids: [3] })
  await story.untilState(next.launch_id, 'ready')
  await story.stop(next.launch_id)
  await untilKept(0)
  // What runs is no matter of this, and outlived three daemons.
  expect((await list()).map((one) => one.launch_id)).toContain(winner)
  expect(logs()).toEqual([`launch-${winner}.log`])
  expect((await story.untilState(winner, 'ready')).model).toBe(model)
})
