// P24: secrets are in no log, no status, no command line, and in no file that everybody can read.
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { ask, readFrpToken, whenPid } from './asks.ts'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { startWorld, type World } from './world.ts'

const run = promisify(execFile)
const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.ts')
const secrets = {
  HF_TOKEN: 'hf_canaryAlphaBravo11',
  VLLM_ACCESS_KEY: 'canary-access-key-22',
}
const authToken = 'canary-auth-token-33'

async function printed(world: World, ...args: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], GONKA_ENV_FILE: world.machine.envFile, GONKA_SOCKET: world.machine.socket }
  const { stdout, stderr } = await run(process.execPath, [bin, ...args], { env, timeout: 20_000 }).catch(
    (error: { stdout: string; stderr: string }) => error,
  )
  return stdout + stderr
}

async function listFiles(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true })
  return all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
}

test('P24 no secret is in a log, a status, a command line or a file for everybody', async () => {
  const record = {
    id: '0042',
    host: 'frps',
    inference_port: 10042,
    poc_port: 20042,
    max_concurrent: 5,
    auth_token: authToken,
    models: { 'rehearsal/tiny-1b': { args: [] } },
  }
  const world = await startWorld({
    gpus: 1,
    set: { ...secrets, REGISTRATION_JSON: JSON.stringify(record), CLIENT_ID: '0042' },
  })
  await world.untilRegistered()
  // Answers that quote what was sent, and engines that end, are where secrets leak.
  world.apiNode.world.faults.set([
    { kind: 'answer', path: '/admin', status: 400, body: { error: `bad token ${authToken}` } },
  ])
  await world.kill('SIGKILL')
  world.start()
  await world.untilPart('api-nodes', 'is refused', ({ problem }) => problem !== undefined)
  process.kill(await whenPid(world), 'SIGKILL')
  await world.untilPart('fleet', 'is mended', ({ health }) => health === 'ok', 20_000)
  const open = await ask(`${world.control}/v1/models`)
  expect(open.status).toBe(401)

  const needles = [...Object.values(secrets), authToken, await readFrpToken(world)]
  const outputs = await Promise.all([
    printed(world, 'status', '--json'),
    printed(world, 'config', '--json'),
    printed(world, 'api-nodes', '--json'),
    printed(world, 'engines', '--json'),
  ])
  for (const text of outputs) expect(text.length > 20 && needles.filter((one) => text.includes(one))).toEqual([])
  const logs = (await listFiles(join(world.machine.folder, 'log'))).filter((path) => !path.endsWith('frps.log'))
  expect(logs.map((path) => basename(path))).toContainEqual(expect.stringMatching(/^engine-0-/))
  for (const path of logs) {
    const text = await readFile(path, 'utf8')
    expect([path, needles.filter((one) => text.includes(one))]).toEqual([path, []])
  }
  for (const { pid, argv } of await world.processes())
    expect([pid, needles.filter((one) => argv.includes(one))]).toEqual([pid, []])
  for (const path of await listFiles(world.machine.folder)) {
    if (((await stat(path)).mode & 0o004) === 0 || path.endsWith('frps.toml')) continue
    const text = await readFile(path, 'latin1')
    expect([path, needles.filter((one) => text.includes(one))]).toEqual([path, []])
  }
})
