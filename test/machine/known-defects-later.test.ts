// More of what the scripts before us got wrong, each as what goes right now: a node whose model comes over the network while it
// boots, and which then mines. The tests follow one life of it, in order.
import { appendFile, cp, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findPortHolder } from '../../src/core/port-holder.ts'
import { startPoc, toInit } from '../../src/rehearsal/api-node-poc.ts'
import { type RehearsalHub, startRehearsalHub } from '../../src/rehearsal/hub.ts'
import { eventually } from '../support/eventually.ts'
import { ask, enginePids, model, toRemote } from './asks.ts'
import { startWorld, type World } from './world.ts'

const ends: (() => Promise<void>)[] = []
const shared: { world?: World; hub?: RehearsalHub } = {}

function worldOf(): World {
  if (!shared.world) throw new Error('the node did not boot')
  return shared.world
}

const repoOf = (world: World, name: string) =>
  join(world.machine.folder, 'huggingface/hub', `models--${name.replace('/', '--')}`)

const posts = ({ apiNode }: World) =>
  apiNode.world.calls.filter(({ method, path }) => method === 'POST' && path === '/admin/v1/nodes')

beforeAll(async () => {
  const world = await startWorld({
    gpus: 2,
    start: false,
    lastsUntil: (end) => ends.push(end),
    set: {
      HF_HUB_OFFLINE: 'false',
      POC_NODE: 'true',
      POC_CALLBACK_INTERVAL_SEC: '0.2',
      REHEARSAL_POC_BLOCKS_CHAT: '0',
      REHEARSAL_POC_MUTE: '0,1',
      REHEARSAL_LATE_HEALTH_MS: '500',
    },
  })
  const hubRoot = join(world.machine.folder, 'hub')
  const repo = repoOf(world, model)
  await cp(join(repo, 'snapshots/0123456789abcdef0123456789abcdef01234567'), join(hubRoot, model), { recursive: true })
  await rename(repo, repoOf(world, 'rehearsal/unwanted'))
  // 1 MiB of weights in 20 s, unless they are let through.
  const hub = await startRehearsalHub(hubRoot, { speed: 50_000 })
  ends.push(() => hub.end())
  await world.setEnv('HF_ENDPOINT', hub.url)
  world.apiNode.world.options.privateRoutes = true
  Object.assign(shared, { world, hub })
  world.start()
}, 60_000)

afterAll(async () => {
  for (const end of ends.toReversed()) await end()
}, 60_000)

test('P28 while the model is downloaded and loaded the node answers, says what it waits for, and announces nothing', async () => {
  const world = worldOf()
  await world.untilPart('models', 'downloads', ({ summary }) => /downloading/.test(summary))
  const during = await ask(`${world.node}/api/v1/state`)
  expect([during.status, during.ms < 5000, await enginePids(world)]).toEqual([200, true, []])
  if (shared.hub) shared.hub.knobs.speed = 0
  // It listens and is not healthy, which is no readiness.
  await eventually('an engine loads', async () => (await enginePids(world))[0])
  expect(posts(world)).toEqual([])
  await world.untilRegistered()
  const serving = (await world.engines()).map(({ since }) => Date.parse(since))
  expect(posts(world)[0]?.at).toBeGreaterThanOrEqual(Math.min(...serving))
  // It mines while other rows are looked at: P6 shows after 12 s of it.
  expect(Object.values(await startPoc(world.apiNode.world, {}))).toEqual([200])
})

test('P20 what is read ahead is the model that is wanted, no other one in the cache, and each byte once', async () => {
  const world = worldOf()
  await world.untilPart('page-cache', 'has read', ({ health }) => health === 'ok')
  const marker = await readFile(join(world.machine.folder, 'state/page-cache.json'), 'utf8')
  const { models } = JSON.parse(marker) as { models: { path: string; bytes: number }[] }
  expect(models).toHaveLength(1)
  const { path, bytes } = models[0]!
  expect(path.startsWith(repoOf(world, model))).toBe(true)
  expect(bytes).toBe((await stat(join(path, 'model.safetensors'))).size)
})

test('P21 logs are in the folder that is shipped, and a line of the daemon is JSON that says once which part speaks', async () => {
  const world = worldOf()
  const shipped = join(world.machine.folder, 'log/')
  for (const { logPath } of await world.engines()) expect(logPath?.startsWith(shipped)).toBe(true)
  const lines = (await world.log()).trim().split('\n')
  const parsed = lines.map((line) => JSON.parse(line) as { level: number | string; part?: string })
  expect(new Set(parsed.map(({ part }) => part))).toContain('api-nodes')
  expect(parsed.filter(({ level }) => level === 'debug' || level === 20)).toEqual([])
  expect(lines.filter((line) => (line.match(/"part":/g)?.length ?? 0) > 1)).toEqual([])
})

test('P26 the routes of the MLNode are on the node port; the inference port has those of vLLM alone', async () => {
  const world = worldOf()
  for (const path of ['/api/v1/state', '/api/v1/gpu/devices']) {
    const both = await Promise.all([world.node, world.inference].map((origin) => ask(`${origin}${path}`)))
    expect(both.map(({ status }) => status)).toEqual([200, 404])
  }
  expect((await ask(`${world.inference}/v1/models`)).status).toBe(200)
})

test('P22 a model volume that is not there is said so; nothing is written to its place and nothing is downloaded', async () => {
  const { hub } = shared
  const world = await startWorld({
    gpus: 1,
    start: false,
    set: {
      HF_HUB_OFFLINE: 'false',
      HF_ENDPOINT: hub?.url ?? '',
      MODEL_VOLUME: 'vol-0nowhere',
      MODEL_VOLUME_TIMEOUT: '1s',
    },
  })
  const mount = join(world.machine.folder, 'data')
  await world.setEnv('MODEL_VOLUME_MOUNT', mount)
  await world.setEnv('HF_HOME', join(mount, 'huggingface'))
  const asked = hub?.requests.length
  world.start()
  const { problem } = await world.untilProblem('volume', 'volume-missing')
  expect(problem?.evidence).toContain('vol-0nowhere')
  await world.untilPart('models', 'waits', ({ health }) => health === 'failed')
  expect((await ask(`${world.node}/api/v1/state`)).status).toBe(200)
  expect([hub?.requests.length, await enginePids(world)]).toEqual([asked, []])
  await expect(stat(mount)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('P6 an engine that mines and delivers nothing is named with what its log says, while the other delivers', async () => {
  const world = worldOf()
  const api = world.apiNode.world
  const mute = (await world.engines()).find(({ slot }) => slot === 1)
  await appendFile(mute?.logPath ?? '', `ERROR callback sender failed: object has no attribute '_sign'\n`)
  const told = new RegExp(`engine ${mute?.port}: \\d+ nonces computed.*no attribute '_sign'`)
  await world.untilPart('poc', 'tells it', ({ problem }) => {
    return problem?.code === 'poc-no-callbacks' && told.test(problem.evidence)
  })
  const [found] = api.coverage.describe(api.round?.blockHash ?? '', 2)
  expect(found?.groups.map(({ count }) => count > 0)).toEqual([true, false])
})

test('P18 an init that the API node gives while its own round runs is taken for "runs already", and mines nothing twice', async () => {
  const world = worldOf()
  const api = world.apiNode.world
  const [entry] = api.nodes.values()
  if (!entry) throw new Error('nothing is registered')
  const owners = async () => {
    const { text } = await ask(`${world.node}/api/v1/inference/pow/status`)
    const { backends } = JSON.parse(text) as { backends: { config: { public_key: string } }[] }
    return backends.map(({ config }) => config.public_key)
  }
  const before = await owners()
  api.pocInit.set(entry.node.id, { version: 'v1', init_generate: { ...toInit(api, entry), public_key: 'another' } })
  await world.kill('SIGKILL')
  world.start()
  await eventually('the init is answered', async () => (await world.log()).includes('"poc runs already"'), 30_000)
  await world.untilPart('api-nodes', 'is well', ({ health }) => health === 'ok')
  expect([await owners(), before]).toEqual([before, ['02rehearsal', '02rehearsal']])
})

test('P30 one supervised process listens on every port, and a tunnel that is killed is made again', async () => {
  const world = worldOf()
  const ports = [world.ports.node, world.ports.inference, world.ports.control]
  const holders = await Promise.all(ports.map((port) => findPortHolder(port)))
  const { pid } = await world.status()
  expect(holders.map((holder) => holder?.pid)).toEqual([pid, pid, pid])
  const frpc = async () => (await world.processes()).find(({ kind }) => kind === 'frpc')?.pid
  const first = await frpc()
  process.kill(first ?? Number.NaN, 'SIGKILL')
  await eventually('another frpc', async () => ![undefined, first].includes(await frpc()))
  for (const role of ['inference', 'node'] as const)
    await eventually('it carries', async () => (await ask(`${toRemote(world, role)}/health`)).status === 200, 30_000)
})
