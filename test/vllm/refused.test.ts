// Starts that fail, in vLLM's own words: what the operator is told, and whether it is tried again.
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { PartStatus } from '../../src/api/status.ts'
import { silentLog } from '../../src/core/log.ts'
import { buildArgv } from '../../src/engine/argv.ts'
import { buildEnvironment } from '../../src/engine/environment.ts'
import { startEngine } from '../../src/engine/life.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { describeWith } from '../support/real.ts'
import { tempDir } from '../support/temp-dir.ts'
import { provideVllm, type RealVllm } from './real-vllm.ts'
import { isAlive, seeProcesses, startVllmWorld, type VllmWorld } from './vllm-world.ts'

const found = await provideVllm()

describeWith('starts that a real vLLM refuses', found, (vllm) => {
  test('a flag that it does not know is named, and not tried again', async () => {
    const world = await startWorld(vllm, { EXTRA_VLLM_ARGS: '--load-format dummy --no-such-flag' })
    const view = await world.untilPhase('given-up', 120_000)
    expect(view.problem).toMatchObject({
      code: 'vllm-bad-flag',
      evidence: expect.stringMatching(/unrecognized arguments: --no-such-flag \(exit 2\)/),
      remedy: expect.stringContaining('EXTRA_VLLM_ARGS'),
    })
    expect(world.findLog('engine starts')).toHaveLength(1)
    expect((await findPart(world, 'fleet')).health).toBe('failed')
  })

  test('a port that somebody takes while it starts is named, and the next start takes another', async () => {
    const world = await startWorld(vllm)
    const first = await eventually(
      'a life with a process',
      async () => {
        const view = await world.engine()
        return view?.pid !== undefined ? view : undefined
      },
      60_000,
    )
    await listen(first.port)
    const second = await eventually(
      'another life with a process',
      async () => {
        const view = await world.engine()
        return view && view.id !== first.id && view.pid !== undefined ? view : undefined
      },
      120_000,
    )
    expect(second).toMatchObject({ restarts: 1 })
    expect(second.port).toBeGreaterThan(first.port)
    const [failed] = world.findLog('vllm-port-in-use')
    expect(failed?.['problem']).toMatchObject({ evidence: expect.stringMatching(/\[Errno 98\].*\(exit 1\)/i) })
    expect(world.findLog(`port ${first.port} is held by`, `pid ${process.pid}`)).toHaveLength(1)
    // Its imports are not over: no child, and SIGTERM would still be honoured; a stop leaves nothing either way.
    const seen = seeProcesses(second.pid!)
    expect(seen).not.toEqual([])
    await world.daemon.stop()
    expect(seen.filter(isAlive)).toEqual([])
  })

  test('a folder and a name without a model are told before anything is started', async () => {
    const folder = await startWorld(vllm, { MODEL_NAME: '/no/such/model' })
    await eventually('said', async () => (await findPart(folder, 'fleet')).problem?.code === 'model-folder-missing')
    const name = await startWorld(vllm, { MODEL_NAME: 'real/absent' })
    await eventually('said', async () => (await findPart(name, 'fleet')).problem?.code === 'model-offline')
    for (const world of [folder, name]) expect(world.findLog('engine phase')).toEqual([])
  })

  test.each([
    ['a folder that vanishes before it is read', '/no/such/model', 'vllm-no-such-model'],
    ['a name that is not in the cache', 'real/absent', 'vllm-offline-model'],
  ])('what it says of %s is understood', async (_, modelPath, code) => {
    const { problem } = await live(vllm, modelPath)
    expect(problem).toMatchObject({ code, evidence: expect.stringMatching(/\(exit 1\)$/) })
  })
})

async function startWorld(vllm: RealVllm, set: Record<string, string> = {}): Promise<VllmWorld> {
  const world = await startVllmWorld(vllm, set)
  onTestFinished(() => world.end())
  await eventually('the daemon answers', () => world.status(), 60_000)
  return world
}

/** Of the node's status. */
async function findPart(world: VllmWorld, name: string): Promise<PartStatus> {
  const part = (await world.status()).parts.find((one) => one.name === name)
  if (!part) throw new Error(`no part ${name}`)
  return part
}

/** As a program that came in between would. */
async function listen(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())))
  return server
}

/** One life without a fleet, which would have refused it. */
async function live({ python }: RealVllm, modelPath: string) {
  const folder = await tempDir()
  const profile = 'stock'
  const [port, version] = [await freePort(), '0.32.0']
  const args = ['--load-format', 'dummy', '--dtype', 'bfloat16']
  const { argv } = buildArgv({ profile, version, modelPath, servedName: 'real/absent', port, args })
  const env = buildEnvironment({
    profile,
    version,
    gpus: [],
    modelIsLocal: true,
    hfHome: folder,
    cacheRoot: folder,
    home: folder,
    loggingLevel: 'INFO',
    ompNumThreads: 1,
    pythonFolder: dirname(python),
    engineEnv: { VLLM_CPU_KVCACHE_SPACE: '1', VLLM_CPU_OMP_THREADS_BIND: 'nobind' },
  })
  const wish = { model: 'real/absent', modelPath, slot: 0, gpus: [], hasPoc: false, args, owner: 'test' }
  const life = startEngine(
    { ...wish, profile, python, port, argv, env },
    {
      log: silentLog,
      livesFolder: join(folder, 'lives'),
      logDir: join(folder, 'log'),
      times: { start: 120_000, stop: 35_000, drain: 0, hangGrace: 0 },
    },
  )
  onTestFinished(() => life.stop({ drain: false }).then(() => {}))
  return life.ended
}
