// Which machine this is, and whose state: a second daemon, a copied image, another instance type.
import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startWorld, type World } from './world.ts'

const state = async ({ node }: World) =>
  (await fetch(`${node}/api/v1/state`, { signal: AbortSignal.timeout(3000) })).status

/** The next start is that of another run of the machine: identity and GPUs are looked at again. */
async function reboot(world: World, change: () => unknown): Promise<void> {
  expect(await world.kill('SIGTERM')).toBe(0)
  await change()
  const path = join(world.machine.folder, 'state', 'identity.json')
  const stored = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  await writeFile(path, JSON.stringify({ ...stored, bootId: 'an earlier boot' }))
  world.start()
}

test('a second daemon on the same state ends with 75 and names the first, which goes on', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const first = world.daemon().pid()
  const bin = join(import.meta.dirname, '../../src/bin.ts')
  const second = spawn(process.execPath, [bin, 'run'], {
    env: { PATH: process.env['PATH'], ...world.environment, GONKA_ENV_FILE: world.machine.envFile },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  onTestFinished(() => void second.kill('SIGKILL'))
  const said: Buffer[] = []
  second.stderr.on('data', (part: Buffer) => said.push(part))
  expect(await new Promise((resolve) => second.once('close', resolve))).toBe(75)
  expect(Buffer.concat(said).toString()).toContain(`pid ${first}`)
  expect(await world.chat()).toBe(200)
  expect((await world.status()).pid).toBe(first)
})

test('an image that was copied to another instance takes nothing along: no orders, no remembered records', async () => {
  const world = await startWorld({ gpus: 1, scale: 10 })
  await world.untilRegistered()
  const stop = await fetch(`${world.node}/api/v1/stop`, { method: 'POST' })
  expect(stop.status).toBe(200)
  await world.untilPart('fleet', 'is parked', ({ summary, health }) => health !== 'ok' || /park|stop/.test(summary))
  await reboot(world, () => (world.metadata.knobs.instanceId = 'i-0somebodyelse00000'))
  const part = await world.untilProblem('identity', 'identity-changed')
  expect(part.problem?.evidence).toContain('i-0rehearsal0000000')
  await world.untilPart('fleet', 'serves', ({ health }) => health === 'ok')
})

test('an instance that comes back with fewer GPUs runs what fits, and says that it had more', async () => {
  const world = await startWorld({ gpus: 2 })
  await world.untilRegistered()
  await reboot(world, async () => {
    await writeFile(join(world.machine.gpuState, 'knobs'), 'GPUS=1\n')
    world.metadata.knobs.instanceType = 'p5.4xlarge'
  })
  await world.untilRegistered()
  expect(await world.engines()).toHaveLength(1)
  expect(JSON.stringify((await world.status()).parts)).toContain('fewer-gpus-than-before')
})

test('an instance that comes back with fewer GPUs than one engine needs says so and answers', async () => {
  const world = await startWorld({ gpus: 2, tensorParallel: 2 })
  await world.untilRegistered()
  await reboot(world, () => writeFile(join(world.machine.gpuState, 'knobs'), 'GPUS=1\n'))
  await world.untilProblem('fleet', 'gpus-too-few')
  expect(await state(world)).toBe(200)
})

test('after a spot notice nothing of ours runs but the daemon, which waits to be stopped with the instance', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  const daemon = world.daemon()
  const pid = daemon.pid()
  world.metadata.knobs.spotAfter = 0
  await eventually(
    'only the daemon is left',
    async () => {
      const left = await world.processes()
      return left.every((one) => one.pid === pid) && (await world.log()).includes('"waits for the end of the instance"')
    },
    60_000,
  )
  // What it waits for must hold the process: nothing else does any more.
  const early = await Promise.race([daemon.ended, new Promise((resolve) => setTimeout(resolve, 500, 'it waits'))])
  expect(early).toBe('it waits')
  expect(await world.kill('SIGTERM')).toBe(0)
})
