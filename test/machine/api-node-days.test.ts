// Bad days of API nodes, whole daemon: status says what is wrong there and what to do, registration heals, engines stay.
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Fault, namedFaults } from '../../src/rehearsal/api-node-faults.ts'
import { eventually } from '../support/eventually.ts'
import { enginePids, model, orderStop, orderUp, recordOf } from './asks.ts'
import { startWorld, type World } from './world.ts'

/** Of the admin API alone: callbacks are another day. */
const admin = (name: string): Fault[] => [{ ...(namedFaults[name] ?? { kind: 'hang' }), path: '/admin' }]

/** As a restart by systemd: asks again at once. */
async function again(world: World): Promise<void> {
  await world.kill('SIGKILL')
  world.start()
}

test(
  'whatever an API node answers is said with a remedy, mended by itself, and costs no engine',
  { timeout: 120_000 },
  async () => {
    const world = await startWorld({ gpus: 1 })
    await world.untilRegistered()
    const before = await enginePids(world)
    const { faults } = world.apiNode.world
    const days = {
      garbage: 'api-node-garbage',
      html: 'api-node-garbage',
      redirect: 'api-node-redirects',
      hang: 'api-node-silent',
    }
    for (const [name, code] of Object.entries(days)) {
      faults.set(admin(name))
      await again(world)
      const part = await world.untilProblem('api-nodes', code)
      expect([part.problem?.remedy, part.problem?.evidence].every(Boolean)).toBe(true)
      await eventually('chats are answered', async () => (await world.chat()) === 200)
    }
    await world.apiNode.away()
    faults.set([])
    await again(world)
    await world.untilProblem('api-nodes', 'api-node-unreachable')
    await world.apiNode.comeBack()
    await world.untilRegistered()
    expect(await enginePids(world)).toEqual(before)
  },
)

test('P11 a refused update is final, readable and not repeated; a record that was put right is found by the next run', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const before = await enginePids(world)
  world.apiNode.world.faults.set(admin('500-validation'))
  await world.setEnv('MAX_CONCURRENT', '77')
  const part = await world.untilProblem('api-nodes', 'registration-refused')
  expect(part.problem?.evidence).toContain('max_concurrent must be greater than 0')
  const posts = () =>
    world.apiNode.world.calls.filter(({ method, path }) => method === 'POST' && path === '/admin/v1/nodes').length
  const sent = posts()
  await world.apiNode.broker.pollAll()
  expect([posts(), recordOf(world).max_concurrent === 77]).toEqual([sent, false])
  world.apiNode.world.faults.set([])
  await again(world)
  // The daemon boots anew for it.
  await eventually('the record is right', () => recordOf(world).max_concurrent === 77, 60_000)
  await world.untilRegistered()
  expect(await enginePids(world)).toEqual(before)
})

test('P11 a registration that is only half accepted is no success: said, not repeated, and made good by the next run', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  world.apiNode.world.faults.set(admin('206'))
  world.start()
  const part = await world.untilProblem('api-nodes', 'registration-partial')
  expect(part).toMatchObject({ health: 'failed', problem: { evidence: expect.stringContaining('node[0] (id: x)') } })
  expect(await world.chat()).toBe(200)
  const posts = () =>
    world.apiNode.world.calls.filter(({ method, path }) => method === 'POST' && path === '/admin/v1/nodes').length
  expect(posts()).toBe(1)
  world.apiNode.world.faults.set([])
  await again(world)
  await world.untilRegistered()
  expect(posts()).toBe(2)
})

test('P4 a model that the chain does not govern is said so, with what the API node answered', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  world.apiNode.world.options.governance = { 'other/model': [] }
  world.start()
  const part = await world.untilProblem('api-nodes', 'model-not-governed')
  expect(part).toMatchObject({ health: 'failed', problem: { evidence: expect.stringContaining('governance') } })
  expect(await world.chat()).toBe(200)
})

test('stop and the equivalent up, while the model loads and while it serves, load it once', async () => {
  const world = await startWorld({ gpus: 1, set: { REHEARSAL_LOAD_MS: '2500' } })
  const pid = await eventually('it loads', async () => (await enginePids(world))[0])
  await orderStop(world)
  const joined = await orderUp(world)
  expect(joined).toMatchObject({ status: 200 })
  await orderStop(world)
  const again2 = await orderUp(world, ['--tensor_parallel_size=1'])
  expect(again2).toMatchObject({ status: 200 })
  expect(again2.ms).toBeLessThan(2000)
  expect(await enginePids(world)).toEqual([pid])
})

test('API nodes that order different models in turn get 409 at the third turn, and the model in place stays', async () => {
  const world = await startWorld({ gpus: 1, scale: 10 })
  const hub = join(world.machine.folder, 'huggingface', 'hub')
  await cp(join(hub, 'models--rehearsal--tiny-1b'), join(hub, 'models--rehearsal--other'), { recursive: true })
  await world.untilRegistered()
  const [first] = await enginePids(world)

  expect(await orderUp(world, [], 'rehearsal/other')).toMatchObject({ status: 200 })
  const [second] = await enginePids(world)
  expect(second).not.toBe(first)
  expect(await orderUp(world)).toMatchObject({ status: 200 })
  const kept = await enginePids(world)
  const refused = await orderUp(world, [], 'rehearsal/other')

  expect(refused.status).toBe(409)
  const problem = await world.untilProblem('fleet', 'orders-conflict')
  expect(problem.problem?.evidence).toContain('rehearsal/other')
  expect(await enginePids(world)).toEqual(kept)
  expect(await orderUp(world)).toMatchObject({ status: 200 })
  expect((await world.engines())[0]?.model).toBe(model)
})
