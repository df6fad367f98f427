import { expect, test } from 'vitest'
import type { EngineView } from '../../src/fleet/fleet.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed, forever, toConfig, toGpus } from './bed.ts'
import { crashProblem } from './fake-world.ts'

const phases = (views: readonly EngineView[]) => views.map((one) => one.phase)

test('as many engines as the GPUs allow start at once, each on GPUs and a port of its own', async () => {
  const { start, world, alive } = await fleetBed({ tensorParallel: '2' }, 5)
  const fleet = start()
  await alive(2)
  expect(world.launches.map((one) => one.gpus)).toEqual([
    [0, 1],
    [2, 3],
  ])
  expect(new Set(world.launches.map((one) => one.port)).size).toBe(2)
  expect(world.launches[0]?.argv.join(' ')).toContain('--served-model-name Test/A')
  expect(world.launches[0]?.env['CUDA_VISIBLE_DEVICES']).toBe('0,1')
  expect(fleet.planned.value).toEqual({
    model: 'Test/A',
    instances: 2,
    gpusPerEngine: 2,
    hasPoc: true,
    owner: 'configuration',
  })
  await eventually('progress is said', () => /engine 0 loading weights 50 %/.test(fleet.status.value.summary))
  world.ready()
  await eventually('both serve', () => fleet.status.value.summary === '2 of 2 engines serve Test/A')
  expect(fleet.status.value.health).toBe('ok')
  expect(fleet.upstreams.value.map((one) => one.state.value)).toEqual(['serving', 'serving'])
})

test('nothing is launched before the files are complete, and the reason is said', async () => {
  const { start, world, filesOf, alive } = await fleetBed()
  const problem = {
    code: 'model-incomplete',
    title: 'a shard is missing',
    evidence: 'shard 3 of 8',
    remedy: 'download it',
  }
  filesOf('Test/A').value = { kind: 'missing', problem }
  const fleet = start()
  await eventually('the missing shard is said', () => fleet.status.value.problem?.code === 'model-incomplete')
  expect(fleet.status.value.health).toBe('failed')
  expect(world.launches).toEqual([])
  filesOf('Test/A').value = { kind: 'downloading', bytesDone: 1, bytesTotal: 4, startedAt: new Date() }
  await eventually('progress', () => fleet.status.value.summary === 'model Test/A is downloading, 25 %')
  filesOf('Test/A').value = { kind: 'ready', path: '/models/a' }
  await alive(2)
})

test('engines of the daemon before are kept after a restart, loading ones as well', async () => {
  const { start, end, world, alive, clock } = await fleetBed()
  const first = start()
  await alive(2)
  await end(first, 'restart')
  expect(world.alive()).toHaveLength(2)
  const second = start()
  await eventually(
    'adopted',
    () => second.engines.value.length === 2 && second.engines.value.every((one) => one.adopted),
  )
  world.ready()
  await eventually('both serve', () => second.status.value.summary === '2 of 2 engines serve Test/A')
  expect(world.launches).toHaveLength(2)
  world.crash(world.alive()[0]!)
  await eventually('backing off', () => phases(second.engines.value).includes('backing-off'))
  clock.advance(600)
  await eventually('restarted once', () => second.engines.value.some((one) => !one.adopted && one.restarts === 1))
})

test('a restart is counted also where the daemon adopted the engine before it had looked at the files', async () => {
  const { start, end, world, alive, clock, filesOf } = await fleetBed({}, 1)
  const first = start()
  await alive(1)
  world.ready()
  await end(first, 'restart')
  const ready = filesOf('Test/A').peek()
  filesOf('Test/A').value = { kind: 'looking' }
  const second = start()
  await eventually('a pass after the adoption', () => second.status.value.health === 'ok')
  filesOf('Test/A').value = ready
  world.crash(world.alive()[0]!)
  const restarted = await eventually('another one', () => {
    clock.advance(600)
    return second.engines.value.find((one) => !one.adopted && one.pid !== undefined)
  })
  expect(restarted.restarts).toBe(1)
})

test('engines are kept after a restart whatever the operator says about the order of devices', async () => {
  const { start, end, world, alive, root } = await fleetBed()
  const config = toConfig(root, {}, { engineEnv: { CUDA_DEVICE_ORDER: 'FASTEST_FIRST', NCCL_DEBUG: 'WARN' } })
  const first = start({ config })
  await alive(2)
  world.ready()
  await end(first, 'restart')
  const second = start({ config })
  await eventually('both serve', () => second.status.value.summary === '2 of 2 engines serve Test/A')
  expect(world.launches).toHaveLength(2)
})

test('engines that are not wanted any more are ended first, and only then replaced', async () => {
  const { start, end, world, alive, root } = await fleetBed()
  const first = start()
  await alive(2)
  world.ready()
  await end(first, 'restart')
  world.endsAtOnce = false
  start({ config: toConfig(root, { extraArgs: '--max-model-len 4096' }) })
  await eventually('both are ending', () => world.alive().every((one) => one.phase === 'ending'))
  expect(world.launches).toHaveLength(2)
  world.finishEnding()
  await eventually('new ones', () => world.launches.length === 4)
  expect(world.wrongs).toEqual([])
  expect(world.launches[2]?.args).toContain('--max-model-len')
})

test('a stop ends all engines, even before anything was adopted', async () => {
  const { start, end, world, alive } = await fleetBed()
  const first = start()
  await alive(2)
  await end(first, 'restart')
  const second = start()
  await end(second, 'stop')
  expect(world.alive()).toEqual([])
})

test('an engine that exits unasked, even with 0, is started again after a pause', async () => {
  const { start, world, alive, clock } = await fleetBed({}, 1)
  const fleet = start()
  await alive(1)
  world.ready()
  const [engine] = world.alive()
  if (engine) world.crash(engine)
  await eventually('backing off', () => phases(fleet.engines.value).includes('backing-off'))
  expect(fleet.status.value.problem?.evidence).toBe('boom')
  clock.advance(600)
  await alive(1)
  expect(fleet.orders.service.value).toBe('INFERENCE')
})

test('without GPUs to wait for, too, nothing is started before it is known why the last one ended', async () => {
  const { start, world, alive, inventory } = await fleetBed({ profile: 'stock' }, 0)
  inventory.value = { kind: 'none', why: 'no nvidia-smi' }
  world.explainsAtOnce = false
  const fleet = start()
  await alive(1)
  world.crash(world.alive()[0]!, { ...crashProblem, code: 'vllm-bad-flag' })
  await eventually('seen', () => phases(fleet.engines.value).includes('gone'))
  inventory.value = { kind: 'none', why: 'still no nvidia-smi' }
  await eventually('a round of the fleet', () => fleet.status.value.summary.includes('gone'))
  world.explain()
  await eventually('given up', () => phases(fleet.engines.value).includes('given-up'))
  expect(world.launches).toHaveLength(1)
})

test('a crash loop is given up with its cause, and still tried slowly', async () => {
  const { start, world, alive, clock } = await fleetBed({}, 1)
  const fleet = start()
  for (let at = 0; at < 5; at += 1) {
    await alive(1)
    const [engine] = world.alive()
    if (engine) world.crash(engine)
    await eventually('waits', () =>
      phases(fleet.engines.value).some((one) => one === 'backing-off' || one === 'given-up'),
    )
    if (at < 4) clock.advance(60_000)
  }
  await eventually('given up', () => phases(fleet.engines.value).includes('given-up'))
  expect(fleet.status.value).toMatchObject({ health: 'failed', problem: { code: 'engine-crash-loop' } })
  clock.advance(700_000)
  await alive(1)
})

test('fewer GPUs than before: the plan shrinks and the status says so', async () => {
  const { start, end, world, alive, inventory } = await fleetBed({}, 4)
  const first = start()
  await alive(4)
  await end(first, 'stop')
  inventory.value = toGpus(2)
  const second = start({ bootId: 'boot-2' })
  await alive(2)
  world.ready()
  await eventually('said', () => second.status.value.problem?.code === 'fewer-gpus-than-before')
  expect(second.planned.value?.instances).toBe(2)
  expect(second.status.value.problem?.evidence).toBe('2 now, 4 before')
})

test('GPUs that vanish from nvidia-smi end no engine that lives', async () => {
  const { start, world, alive, inventory } = await fleetBed({}, 2)
  const fleet = start()
  await alive(2)
  world.ready()
  await eventually('both serve', () => fleet.status.value.health === 'ok')
  inventory.value = toGpus(1)
  const problem = { code: 'gpu-driver-hangs', title: 'hangs', evidence: 'timeout', remedy: 'reboot' }
  inventory.value = { kind: 'failed', problem }
  await fleet.orders
    .up({ model: 'Test/A', dtype: 'auto', additionalArgs: [] }, AbortSignal.timeout(5000))
    .catch(() => {})
  expect(world.alive()).toHaveLength(2)
  expect(fleet.planned.value?.instances).toBe(2)
})

test('GPU memory of a stranger is waited for, not launched into', async () => {
  const { start, world, alive, inventory } = await fleetBed({}, 2)
  inventory.value = toGpus(2, [40_000])
  const fleet = start()
  await alive(1)
  expect(world.launches[0]?.gpus).toEqual([1])
  await eventually('said', () => fleet.engines.value.some((one) => one.problem?.code === 'gpu-memory-taken'))
  inventory.value = toGpus(2, [300])
  await alive(2)
})

test('a failure that starting again cannot cure is tried again by an order alone, and not twice in a row', async () => {
  const { start, world, alive, clock } = await fleetBed({}, 1)
  const fleet = start()
  const { signatures } = await import('../../src/engine/signatures.ts')
  const never = signatures.find((one) => one.retry === 'never')
  const fail = async () => {
    await alive(1)
    const [engine] = world.alive()
    if (engine && never)
      world.crash(engine, { code: never.code, title: never.title, evidence: 'x', remedy: never.remedy })
    await eventually('given up', () => phases(fleet.engines.value).includes('given-up'))
  }
  const up = () => fleet.orders.up({ model: 'Test/A', dtype: 'auto', additionalArgs: [] }, forever)
  const failed = { code: 'engine-failed', status: 500 }
  await fail()
  await expect(up()).rejects.toMatchObject(failed)
  expect(world.launches).toHaveLength(1)
  clock.advance(10_000_000)
  await eventually('it stays so', () => phases(fleet.engines.value).includes('given-up'))
  expect(world.launches).toHaveLength(1)
  const again = up().catch((error: unknown) => error)
  await fail()
  expect(await again).toMatchObject(failed)
  expect(world.launches).toHaveLength(2)
  await fleet.orders.upAsync({ model: 'Test/A', dtype: 'auto', additionalArgs: ['--enforce-eager'] })
  await alive(1)
})

test('GPU memory that ran out is tried again by itself, and it is said when', async () => {
  const { start, world, alive, clock } = await fleetBed({}, 1)
  const fleet = start()
  await alive(1)
  const [engine] = world.alive()
  if (engine) world.crash(engine, { code: 'vllm-oom-warm-up', title: 'no memory', evidence: 'x', remedy: 'y' })
  await eventually('given up', () => phases(fleet.engines.value).includes('given-up'))
  await eventually('said', () =>
    /; tried again at \d\d:\d\d:\d\d UTC$/.test(fleet.status.value.problem?.evidence ?? ''),
  )
  clock.advance(61_000)
  await alive(1)
  world.ready()
  await eventually('serves', () => fleet.status.value.health === 'ok')
})
