// Bad days of the env file, seen from outside: what an operator or user-data can do to it, and what the node does then.
import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startWorld, type World } from './world.ts'

const state = async ({ node }: World) =>
  (await fetch(`${node}/api/v1/state`, { signal: AbortSignal.timeout(2000) })).json() as Promise<{ state: string }>

/** Not from the file: the usual ports may be anybody's. */
function portsOf({ ports }: World): Record<string, string> {
  return {
    NODE_PORT: String(ports.node),
    INFERENCE_PORT: String(ports.inference),
    PORT: String(ports.control),
    VLLM_GRPC_PORT: String(ports.grpc),
  }
}

async function startWithout(file: (world: World) => Promise<void>): Promise<{ world: World; good: string }> {
  const world = await startWorld({ start: false })
  Object.assign(world.environment, portsOf(world))
  const good = await world.readEnv()
  await file(world)
  world.start()
  return { world, good }
}

const kept = async (world: World) => (await world.part('config'))?.problem?.code

test('a node without an env file serves its status, and joins when user-data writes the file, also in two pieces', async () => {
  const { world, good } = await startWithout(({ machine }) => rm(machine.envFile))
  await world.untilProblem('config', 'config-missing')
  expect((await state(world)).state).toBe('STOPPED')
  expect((await world.processes()).map(({ kind }) => kind)).toEqual(['daemon'])
  const pid = world.daemon().pid()
  await world.writeEnv(good.slice(0, good.indexOf('MODEL_NAME') + 3))
  await world.writeEnv(good)
  await world.untilRegistered()
  expect(world.daemon().pid()).toBe(pid)
  expect(await kept(world)).toBeUndefined()
})

test('a file with a byte order mark and CRLF line ends, as Windows writes it, is a good one', async () => {
  const { world } = await startWithout(async (one) => {
    await one.writeEnv(`\uFEFF${(await one.readEnv()).replaceAll('\n', '\r\n')}`)
  })
  await world.untilRegistered()
  expect(await kept(world)).toBeUndefined()
})

test.each([
  ['has 10 MB', (one: World) => one.writeEnv(Buffer.alloc(10_000_000, '# a\n')), /has 10000000 bytes/],
  ['is binary', (one: World) => one.writeEnv(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 1, 2])), /is binary/],
  ['is a folder', makeFolder, /not a regular file/],
  ['is a pipe that nobody writes', makePipe, /not a regular file/],
])('the first start with a file that %s ends with 78 and says so', async (_, spoil, reason) => {
  const { world } = await startWithout(spoil)
  expect(await world.daemon().ended).toBe(78)
  expect(await world.log()).toMatch(reason)
})

async function makeFolder({ machine }: World): Promise<void> {
  await rm(machine.envFile)
  execFileSync('mkdir', [machine.envFile])
}

async function makePipe({ machine }: World): Promise<void> {
  await rm(machine.envFile)
  execFileSync('mkfifo', [machine.envFile])
}

test('the first start with a bad file ends with 78 and tells every problem with its line', async () => {
  const { world } = await startWithout(async (one) => {
    await one.setEnv('CLIENT_ID', '0000')
    await one.setEnv('TENSOR_PARALLEL_SIZE', 'many')
    await one.setEnv('FRP_SERVERS', 'nowhere')
  })
  expect(await world.daemon().ended).toBe(78)
  const log = await world.log()
  for (const name of ['CLIENT_ID', 'TENSOR_PARALLEL_SIZE', 'FRP_SERVERS'])
    expect(log).toMatch(new RegExp(`${name} \\(${world.machine.envFile}:\\d+\\): `))
  expect(await world.processes()).toEqual([])
})

test('a bad edit takes nothing from an earning node, not even with a restart, and is gone once it is put right', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const [before, good] = [await world.engines(), await world.readEnv()]
  const earns = async () => {
    expect(await world.chat()).toBe(200)
    expect((await world.engines()).map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid))
  }

  await world.setEnv('CLIENT_ID', '42')
  const running = await world.untilProblem('config', 'config-bad')
  expect(running).toMatchObject({
    health: 'degraded',
    problem: { evidence: expect.stringMatching(/CLIENT_ID .*:\d+\)/) },
  })
  await earns()
  await world.writeEnv(Buffer.alloc(10_000_000, 'A=1\n'))
  await world.untilProblem('config', 'config-unreadable')
  await earns()
  await world.writeEnv(good)
  await world.untilPart('config', 'is fine again', ({ health }) => health === 'ok')
  await earns()
  await rm(world.machine.envFile)
  expect(await world.untilProblem('config', 'config-missing')).toMatchObject({ health: 'degraded' })
  await earns()
  await world.writeEnv(good)
  await world.untilPart('config', 'is fine once more', ({ health }) => health === 'ok')

  for (const bad of [Buffer.alloc(10_000_000, 'A=1\n'), good.slice(0, good.indexOf('API_NODES') + 12)]) {
    await world.writeEnv(bad)
    // As a crash does: the engines are found again by the next daemon, with the last good configuration.
    await world.kill('SIGKILL')
    world.start()
    const restarted = await world.untilPart(
      'config',
      'runs on the last good one',
      ({ health }) => health === 'degraded',
    )
    expect(restarted.summary).toMatch(/last good configuration/)
    await world.untilRegistered()
    await earns()
  }
  await rm(world.machine.envFile)
  await world.untilPart('config', 'misses the file', ({ health }) => health === 'degraded')
  await earns()
  await world.writeEnv(good)
  await world.untilPart('config', 'is fine in the end', ({ health }) => health === 'ok')
  await world.untilRegistered()
  await earns()
})

test('changed arguments are loaded by the same process, and the old engine is gone', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const [first] = await world.engines()
  await world.setEnv('MAX_MODEL_LEN', '1024')
  await eventually(
    'another engine serves',
    async () => {
      const [engine] = await world.engines()
      return engine?.phase === 'serving' && engine.pid !== first?.pid
    },
    40_000,
  )
  await world.untilRegistered()
  const engines = (await world.processes()).filter(({ kind, argv }) => kind === 'engine' && argv.includes('--port'))
  expect(engines).toHaveLength(1)
  expect(engines[0]?.argv).toContain('--max-model-len 1024')
})
