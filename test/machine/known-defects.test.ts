// What the scripts before us got wrong (P1-P32), each as what goes right now, on one node that booted from its env file alone.
// Rows that need a world of their own are in the files of their day; rows about files alone are proved by the tests of their part.
import { execFile } from 'node:child_process'
import { readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readProcStat } from '../../src/core/proc.ts'
import { parseArgs } from '../../src/engine/args.ts'
import { tempDir } from '../support/temp-dir.ts'
import { ask, enginePids, model, orderStop, orderUp, recordOf, toRemote } from './asks.ts'
import { startWorld, type World } from './world.ts'

const run = promisify(execFile)
const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.ts')
const oddName = 'NVIDIA "H100" \\ 80GB $(touch executed) {}'
const shared: { world?: World; trap?: string; end?: () => Promise<void> } = {}

function worldOf(): World {
  if (!shared.world) throw new Error('the node did not boot')
  return shared.world
}

beforeAll(async () => {
  shared.world = await startWorld({
    gpus: 4,
    tensorParallel: 2,
    lastsUntil: (end) => (shared.end = end),
    set: { EXTRA_VLLM_ARGS: '--enforce-eager --max-num-seqs 64', GPU_TYPE: oddName, REHEARSAL_LOAD_MS: '600' },
  })
  await shared.world.untilRegistered()
})

afterAll(() => shared.end?.(), 60_000)

/** One run of the command line. @returns exit status and output */
async function cli(args: string[], env: Record<string, string> = {}): Promise<{ code: number; text: string }> {
  const options = { env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env }, timeout: 20_000 }
  return run(process.execPath, [bin, ...args], options).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      text: error.stdout + error.stderr,
    }),
  )
}

async function checkConfig(lines: Record<string, string>): Promise<{ code: number; text: string }> {
  const file = join(await tempDir(), 'container.env')
  const good = {
    API_NODES: '10.0.0.1:9200',
    CLIENT_ID: '0042',
    FRP_SERVERS: '10.0.0.1:7000',
    SECRET_FRP_TOKEN: 'secret',
  }
  const all = Object.entries({ ...good, MODEL_NAME: model, ...lines })
  await writeFile(file, `${all.map(([name, value]) => `${name}=${value}`).join('\n')}\n`)
  return cli(['config', 'check', file])
}

/** Of the engine `pid`: as its keeper was told to run it, since programs may give themselves another title. */
async function argvOf(pid: number): Promise<string[]> {
  const keeper = readProcStat(pid)?.ppid ?? 1
  return (await readFile(`/proc/${keeper}/cmdline`, 'utf8')).split('\0').slice(0, -1)
}

test('P1 both announced ports are tunnelled and answer through the server', async () => {
  const world = worldOf()
  const inference = await ask(`${toRemote(world, 'inference')}/health`)
  const state = await ask(`${toRemote(world, 'node')}/api/v1/state`)
  expect([inference.status, state.status, JSON.parse(state.text).state]).toEqual([200, 200, 'INFERENCE'])
})

test('P2 both ports answer with and without the version of the chain before the path', async () => {
  const world = worldOf()
  for (const version of ['', '/v3.0.8', '/v0.2.14-alpha']) {
    const models = await ask(`${toRemote(world, 'inference')}${version}/v1/models`)
    const state = await ask(`${toRemote(world, 'node')}${version}/api/v1/state`)
    expect([models.status, JSON.parse(models.text).data[0].id, state.status]).toEqual([200, model, 200])
  }
})

test('P3 what is configured is what runs, and every effective value names its origin', async () => {
  const world = worldOf()
  const env = { GONKA_ENV_FILE: world.machine.envFile, GONKA_SOCKET: world.machine.socket }
  const { text } = await cli(['config', '--json'], env)
  expect(text).toContain(world.machine.envFile)
  const [pid] = await enginePids(world)
  const argv = await argvOf(pid ?? 0)
  expect(argv).toEqual(expect.arrayContaining(['--served-model-name', model, '--enforce-eager']))
  expect(argv.slice(argv.indexOf('--tensor-parallel-size'))[1]).toBe('2')
})

test('P5 P9 P11 the env file alone brings a node that registers once, and only when an engine serves', async () => {
  const world = worldOf()
  const posts = world.apiNode.world.calls.filter(
    ({ method, path, direction }) => direction === 'in' && method === 'POST' && path === '/admin/v1/nodes',
  )
  const serving = (await world.engines()).map(({ since }) => Date.parse(since))
  expect(posts.map(({ status }) => status)).toEqual([200])
  // The moment of serving is noticed, the signal set, and then the POST sent; clocks are those of one machine.
  expect(posts[0]?.at).toBeGreaterThanOrEqual(Math.min(...serving))
})

test('P8 P25 P31 a configuration that cannot work ends with 78 and says which variable, and what to write', async () => {
  const zero = await checkConfig({ CLIENT_ID: '0000' })
  const port = await checkConfig({ API_NODES: '10.0.0.1:99999' })
  const known = await checkConfig({ POC_SIGNATURE_KEY: 'SIGNATURE' })
  const good = await checkConfig({})
  expect([zero.code, port.code, known.code, good.code]).toEqual([78, 78, 78, 0])
  expect(zero.text).toMatch(/CLIENT_ID \(.*:2\)/)
  expect(port.text).toMatch(/API_NODES \(.*:1\)/)
  expect(known.text).toMatch(/POC_SIGNATURE_KEY \(.*:6\)/)
})

test('P10 nothing is written outside of the folders that the daemon was given', async () => {
  const world = worldOf()
  const daemon = world.daemon().pid() ?? 0
  const links = await Promise.all(
    (await readdir(`/proc/${daemon}/fd`)).map((fd) => readlink(`/proc/${daemon}/fd/${fd}`).catch(() => '')),
  )
  const files = links.filter((path) => path.startsWith('/') && !path.startsWith('/dev/') && !path.startsWith('/proc/'))
  expect(files.filter((path) => !path.startsWith(world.machine.folder) && !path.startsWith('/sys/'))).toEqual([])
})

test('P13 the pid of an engine is the pid of vLLM, and its output is a file of its own', async () => {
  const world = worldOf()
  for (const { pid, logPath } of await world.engines()) {
    expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).toMatch(/^(VLLM|python|.*vllm\.)/)
    expect(await readFile(logPath ?? '', 'utf8')).toContain('Application startup complete')
  }
})

test('P14 the configuration of frpc is readable by its owner alone, and its first login may fail', async () => {
  const world = worldOf()
  const all = await readdir(join(world.machine.folder, 'state'), { recursive: true, withFileTypes: true })
  const files = all
    .filter((one) => one.isFile() && one.name.endsWith('.toml'))
    .map((one) => join(one.parentPath, one.name))
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) {
    expect((await stat(file)).mode & 0o077).toBe(0)
    expect(await readFile(file, 'utf8')).toMatch(/loginFailExit\s*=\s*false/)
  }
})

test('P15 P16 a hardware name of quotes and dollars arrives as it was written, in the text form of the API', () => {
  expect(recordOf(worldOf()).hardware).toEqual([{ type: `${oddName} | 79GB`, count: 4 }])
})

test('P17 registered arguments are the launched ones, so the reload that the broker orders loads nothing', async () => {
  const world = worldOf()
  const registered = recordOf(world).models[model]?.args ?? []
  const before = await enginePids(world)
  const launched = parseArgs(await argvOf(before[0] ?? 0))
  for (const [flag, value] of parseArgs(registered)) expect([flag, launched.get(flag)]).toEqual([flag, value])
  await orderStop(world)
  const up = await orderUp(world, registered)
  expect([up.status, await enginePids(world)]).toEqual([200, before])
})

test('P23 the identity comes from a metadata service that answers to version 2 alone', async () => {
  expect(await worldOf().part('identity')).toMatchObject({
    health: 'ok',
    summary: expect.stringContaining('i-0rehearsal'),
  })
})

test('P24 the env file is read as data: nothing in it is executed', async () => {
  const places = [process.cwd(), worldOf().machine.folder]
  const names = (await Promise.all(places.map((place) => readdir(place)))).flat()
  expect(names).not.toContain('executed')
})

test('P27 GPUs are counted: four of them with two per engine are two engines on different ones', async () => {
  const engines = await worldOf().engines()
  expect(engines.map(({ gpus }) => gpus)).toEqual([
    [0, 1],
    [2, 3],
  ])
})

test('P32 engines, tunnelled listeners and control are bound to loopback alone', async () => {
  const world = worldOf()
  const ports = [...(await world.engines()).map(({ port }) => port), ...Object.values(world.ports)]
  const listening = (await readFile('/proc/net/tcp', 'utf8'))
    .split('\n')
    .map((line) => /: ([0-9A-F]{8}):([0-9A-F]{4}) \S+ 0A/.exec(line))
    .flatMap((found) => (found ? [{ address: found[1], port: parseInt(found[2] ?? '', 16) }] : []))
  const own = listening.filter(({ port }) => ports.includes(port))
  expect(own.length).toBeGreaterThanOrEqual(5)
  // Little endian: the last two digits are the first number of the address.
  expect(own.filter(({ address }) => !address?.endsWith('7F'))).toEqual([])
})
