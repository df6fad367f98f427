// The published client against the daemon: installed from a packed package, run by plain Node.js, and every method.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect, InferenceError, type LaunchClient, RequestError } from '../../src/client/index.ts'
import { accessKey, type LaunchWorld, startLaunchWorld } from '../conformance/launch-world.ts'
import { model } from '../machine/asks.ts'
import { describeWith } from '../support/real.ts'
import { oldestNode, provideNode20 } from './node-20.ts'
import { installPackage } from './package.ts'

const run = promisify(execFile)
const shared: { service?: LaunchWorld; project?: string; folder?: string; end?: () => Promise<void> } = {}

function clientOf(): LaunchClient {
  if (!shared.service) throw new Error('the service did not start')
  const { url, grpc } = shared.service
  return connect({ baseUrl: url, grpcAddress: grpc, accessKey })
}

beforeAll(async () => {
  shared.folder = await mkdtemp(join(tmpdir(), 'gonka-client-'))
  const [service, project] = await Promise.all([
    startLaunchWorld({ lastsUntil: (end) => (shared.end = end) }),
    installPackage(shared.folder),
  ])
  Object.assign(shared, { service, project })
})

afterAll(async () => {
  await shared.end?.()
  if (shared.folder) await rm(shared.folder, { recursive: true, force: true })
}, 60_000)

/** As README has it, ten lines. */
const withUsing = `import { connect } from 'gonka-node/client'

const client = connect({ baseUrl: process.env.BASE_URL, accessKey: process.env.KEY, grpcAddress: process.env.GRPC })
{
  await using launch = await client.launch({ model: process.env.MODEL, gpuIds: [0] })
  await launch.untilReady({ timeout: 60_000 })
  const [answer] = await launch.complete(['Once upon a time'], { maxTokens: 8 })
  console.log(answer.completionTokens)
}
console.log((await client.launches({ includeTerminal: true })).at(-1).state)
`

/** Node.js before 24 has no \`await using\`. */
const withFinally = withUsing
  .replace('{\n  await using launch', 'const launch')
  .replace('  await launch.untilReady', 'try {\n  await launch.untilReady')
  .replace('\n}\n', '\n} finally {\n  await launch.stop()\n}\n')

async function runProgram(node: string, text: string): Promise<string> {
  const { url, grpc } = shared.service ?? { url: '', grpc: '' }
  const program = join(shared.project ?? '', 'program.mjs')
  await writeFile(program, text)
  const env = { PATH: process.env['PATH'], BASE_URL: url, GRPC: grpc, KEY: accessKey, MODEL: model }
  const { stdout, stderr } = await run(node, [program], { env, timeout: 60_000 })
  expect(stderr).toBe('')
  return stdout
}

/** As npm would link it. */
async function findProgram(): Promise<string> {
  const installed = join(shared.project ?? '', 'node_modules/gonka-node')
  const { bin } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as {
    bin: Record<string, string>
  }
  return join(installed, bin['gonka-node'] ?? '')
}

/** Of a stranger, who has never seen our sources. */
const typed = `import { connect, type LaunchResponse, RequestError } from 'gonka-node/client'
import { renderFrpc } from 'gonka-node/frp-config'
export async function use() {
  const launch = await connect({ baseUrl: '', accessKey: undefined }).launch({ model: 'm', gpuIds: [0], task: 'embed' })
  const state: LaunchResponse['state'] = (await launch.untilReady({ timeout: 1 })).state
  const count: number | undefined = (await launch.complete(['x'], { guided: { choice: ['a'] } }))[0]?.promptTokens
  for await (const event of launch.events()) if (event.type === 'log') event.line.trim()
  // @ts-expect-error no such option
  await launch.complete(['x'], { maxToken: 1 })
  // @ts-expect-error no such state
  if (state === 'dead') throw new RequestError()
  return { count, renderFrpc }
}
`

describe('installed from npm pack', () => {
  test('launches, waits, completes, and stops at the end of the block', async () => {
    expect(await runProgram(process.execPath, withUsing)).toBe('8\nstopped\n')
  })

  test.each([
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])('carries types for module %s with moduleResolution %s, and none of our sources is compiled', async (...how) => {
    const project = shared.project ?? ''
    await writeFile(join(project, 'package.json'), '{"type":"module"}')
    await writeFile(join(project, 'typed.ts'), typed)
    const [module, moduleResolution] = how
    const flags = `--noEmit --strict --exactOptionalPropertyTypes --target es2022 --lib es2023,esnext.disposable --types node`
    const all = [...flags.split(' '), '--module', module, '--moduleResolution', moduleResolution, '--listFiles']
    const tsc = join(project, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, ...all, 'typed.ts'], { cwd: project, timeout: 60_000 }).catch(
      (error: { stdout: string }) => Promise.reject(new Error(error.stdout.slice(0, 2000), { cause: error })),
    )
    const ours = stdout.split('\n').filter((path) => path.includes('/gonka-node/'))
    expect(ours.length).toBeGreaterThan(3)
    expect(ours.filter((path) => !path.endsWith('.d.ts'))).toEqual([])
  })

  test('carries a command line that runs', async () => {
    const { stdout } = await run(process.execPath, [await findProgram(), 'version'], { timeout: 20_000 })
    expect(stdout).toMatch(/^gonka-node \d/)
  })
})

describeWith(`in Node.js ${oldestNode}`, await provideNode20(), (node) => {
  test('the client launches, waits, completes and stops', async () => {
    expect(await runProgram(node, withFinally)).toBe('8\nstopped\n')
  })

  test('the program says which Node.js it needs', async () => {
    await expect(run(node, [await findProgram(), 'run'], { timeout: 20_000 })).rejects.toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^gonka-node needs Node\.js 24 or newer, and this is v20\.\S+; .*\n$/) as string,
    })
  })
})

test('generates: whole, as a stream in order, token by token, guided; a wrong task is told', async () => {
  using client = clientOf()
  await using launch = await client.launch({ model, gpuIds: [0], extraKwargs: { max_model_len: 2048 }, name: 'writer' })
  await launch.untilReady({ timeout: 60_000 })
  const prompts = ['one two three four', 'one']
  const whole = await launch.complete(prompts, { maxTokens: 5, temperature: 0, topP: 1 })
  expect(whole.map(({ completionTokens }) => completionTokens)).toEqual([5, 5])
  const streamed = []
  for await (const one of launch.completeStream(prompts, { maxTokens: 5 })) streamed.push(one.promptTokens)
  expect(streamed).toEqual(whole.map(({ promptTokens }) => promptTokens))
  const pieces = []
  for await (const one of launch.tokens('one', { maxTokens: 5 })) pieces.push(one)
  expect(pieces.map(({ text }) => text).join('')).not.toBe('')
  expect(pieces.at(-1)).toMatchObject({ index: 0, finishReason: 'length', completionTokens: 5 })
  const [chosen] = await launch.complete(['say'], { guided: { choice: ['yes', 'no'] } })
  expect(['yes', 'no']).toContain(chosen?.text)
  const wrong = await launch.embed(['x']).catch((error: unknown) => error)
  expect(wrong).toBeInstanceOf(InferenceError)
  expect(wrong).toMatchObject({
    code: 'FAILED_PRECONDITION',
    detail: `Launch ${launch.id} has task 'generate', expected 'embed'`,
  })
  expect((await client.find(launch.id)).snapshot.name).toBe('writer')
})

test('whoever leaves a stream cancels it, and a signal ends a call', async () => {
  await using launch = await clientOf().launch({ model, gpuIds: [0] })
  await launch.untilReady({ timeout: 60_000 })
  for await (const one of launch.tokens(['a', 'b'], { maxTokens: 2000 })) {
    expect(one.index).toBeLessThan(2)
    break
  }
  const enough = new AbortController()
  const running = launch.complete(['a'], { maxTokens: 4000, signal: enough.signal })
  setTimeout(() => enough.abort(new Error('enough')), 50)
  await expect(running).rejects.toThrow('enough')
  await expect(launch.complete(['a'], { maxTokens: 4000, timeout: 50 })).rejects.toMatchObject({
    name: 'WaitTimeoutError',
  })
})

test('embeds; its events and its log are told to the end', async () => {
  const launch = await clientOf().launch({ model, gpuIds: [1], task: 'embed' })
  const states: string[] = []
  const lines: string[] = []
  const told = (async () => {
    for await (const one of launch.events()) {
      if (one.type === 'log') lines.push(one.line)
      else if (states.at(-1) !== one.launch.state) states.push(one.launch.state)
    }
  })()
  await launch.untilReady({ timeout: 60_000 })
  const [first, second] = await launch.embed(['a', 'b'])
  expect(first?.length).toBe(second?.length)
  const streamed = []
  for await (const one of launch.embedStream(['a', 'b'])) streamed.push(one.length)
  expect(streamed).toEqual([first?.length, second?.length])
  expect(await launch.stop()).toMatchObject({ state: 'stopped' })
  await told
  expect(states[0]).toBe('bootstrapping')
  expect(states.at(-1)).toBe('stopped')
  const log: string[] = []
  for await (const piece of launch.logs({ follow: true })) log.push(piece)
  const whole = log.join('')
  expect(lines.length).toBeGreaterThan(5)
  for (const line of lines) expect(whole).toContain(line)
})

test('a wrong key, an unknown launch and a busy GPU are told with status and detail', async () => {
  const { url, grpc } = shared.service ?? { url: '', grpc: '' }
  await expect(connect({ baseUrl: url, accessKey: 'wrong' }).stats()).rejects.toMatchObject({
    status: 401,
    detail: 'Unauthorized',
  })
  const client = clientOf()
  await expect(client.find('nobody')).rejects.toMatchObject({ status: 404, detail: 'Unknown launch_id: nobody' })
  await using launch = await client.launch({ model, gpuIds: [0] })
  const busy = await client.launch({ model, gpuIds: [0] }).catch((error: unknown) => error)
  expect(busy).toBeInstanceOf(RequestError)
  expect(busy).toMatchObject({ status: 409, detail: `Requested GPUs are in use (gpu 0 -> ${launch.id})` })
  const stranger = connect({ baseUrl: url, grpcAddress: grpc, accessKey }).find(launch.id)
  await expect((await stranger).complete([])).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    detail: 'prompts must not be empty',
  })
  expect((await client.stats()).gpu_count).toBe(2)
})
