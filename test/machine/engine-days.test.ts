// Bad days of engines, whole daemon: any end that nobody asked for is a failure that is explained and mended, and the other
// engine serves meanwhile.
import { expect, test } from 'vitest'
import { readFileSync } from 'node:fs'
import { eventually } from '../support/eventually.ts'
import { ask, enginePids, model, orderUp, startTraffic, type Traffic, whenPid } from './asks.ts'
import { startWorld, type World } from './world.ts'

const serving = (world: World, count: number) =>
  eventually(`${count} engines serve`, async () => {
    const engines = await world.engines()
    return engines.filter(({ phase }) => phase === 'serving').length === count
  })

/** The engine core below an API server. */
async function corePid(world: World, apiServer: number): Promise<number> {
  const found = (await world.processes()).find(
    ({ pid, argv }) => argv.includes('EngineCore') && parentOf(pid) === apiServer,
  )
  if (!found) throw new Error(`no core below ${apiServer}`)
  return found.pid
}

const parentOf = (pid: number) => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1])

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

const countFailed = ({ seen }: Traffic) =>
  [...seen].filter(([outcome]) => outcome !== '200').reduce((sum, [, times]) => sum + times, 0)

test('P7 P8 an engine that exits 0 because its core died is started again, and the other one serves meanwhile', async () => {
  const world = await startWorld({ set: { REHEARSAL_WATCHDOG_MS: '300' } })
  await world.untilRegistered()
  const [first, second] = [await whenPid(world, 0), await whenPid(world, 1)]
  const traffic = startTraffic(world)
  await eventually('chats are answered', () => (traffic.seen.get('200') ?? 0) > 10)

  process.kill(await corePid(world, first), 'SIGKILL')

  await world.untilPart('fleet', 'says that one is missing', ({ health }) => health === 'degraded')
  const lost = countFailed(traffic)
  const answered = traffic.seen.get('200') ?? 0
  await eventually('the other one answers', () => (traffic.seen.get('200') ?? 0) > answered + 5)
  await eventually('another life serves', async () => {
    const [again] = await world.engines()
    return again?.phase === 'serving' && again.pid !== first && again.restarts === 1
  })
  await traffic.stop()
  expect((await enginePids(world))[1]).toBe(second)
  // One may have been on its way to it; from then on the other engine takes all.
  expect(countFailed(traffic)).toBeLessThanOrEqual(lost + 1)
})

test('an engine whose core died gets no more requests from the first failed one on, long before its process is gone', async () => {
  const world = await startWorld({ set: { REHEARSAL_WATCHDOG_MS: '600000' } })
  await world.untilRegistered()
  const first = await whenPid(world, 0)
  const traffic = startTraffic(world)
  await eventually('chats are answered', () => (traffic.seen.get('200') ?? 0) > 10)

  process.kill(await corePid(world, first), 'SIGKILL')

  const part = await world.untilPart('fleet/engine 0', 'is told', ({ problem }) => problem !== undefined)
  expect(part.problem?.code).toBe('engine-unhealthy')
  const lost = countFailed(traffic)
  const answered = traffic.seen.get('200') ?? 0
  await eventually('the other one answers all', () => (traffic.seen.get('200') ?? 0) > answered + 20)
  await traffic.stop()
  expect(countFailed(traffic)).toBe(lost)
  expect(isAlive(first)).toBe(true)
  await world.untilPart('fleet', 'counts it out', ({ summary }) => summary.includes('1 of 2 engines serve'))
})

test('P7 a killed API server leaves no core behind that holds GPU memory or its port', async () => {
  const world = await startWorld({ gpus: 1, set: { REHEARSAL_ORPHAN: '1' } })
  await serving(world, 1)
  const pid = await whenPid(world)
  const core = await corePid(world, pid)

  process.kill(pid, 'SIGKILL')

  await eventually('the orphan is gone', () => !isAlive(core))
  await serving(world, 1)
  expect((await enginePids(world))[0]).not.toBe(pid)
})

test('P12 an engine that answers /health and computes nothing is ended and started again', async () => {
  const world = await startWorld({ gpus: 1, set: { MLNODE_HANG_GRACE_SEC: '1', REHEARSAL_HANG_AFTER_MS: '3000' } })
  await serving(world, 1)
  const pid = await whenPid(world)
  const traffic = startTraffic(world)
  await eventually('it is found out', async () => (await world.log()).includes('engine-hung'))
  await eventually('another life serves', async () => {
    const [again] = await world.engines()
    return again?.phase === 'serving' && again.pid !== pid
  })
  await traffic.stop()
})

test('an engine that runs out of memory is explained, given up, and tried again when the broker orders it', async () => {
  const world = await startWorld({ gpus: 1, set: { REHEARSAL_CRASH: 'oom', REHEARSAL_CRASH_TIMES: '1' } })
  const part = await world.untilPart('fleet/engine 0', 'explains the end', ({ problem }) => problem !== undefined)
  expect(part.problem).toMatchObject({
    code: expect.stringContaining('oom'),
    evidence: expect.stringContaining('CUDA out of memory'),
  })
  expect(part.problem?.remedy).toMatch(/GPU_MEMORY_UTILIZATION|MAX_MODEL_LEN/i)
  await eventually('it is given up', async () => (await world.engines())[0]?.phase === 'given-up')
  const state = await ask(`${world.node}/api/v1/state`)
  expect([state.status, state.ms < 5000]).toEqual([200, true])

  const up = await orderUp(world, ['--gpu-memory-utilization', '0.8'])

  expect(up).toMatchObject({ status: 200 })
  await serving(world, 1)
  expect((await ask(`${world.inference}/v1/models`)).text).toContain(model)
})
