// `npm start`: the rehearsal as a person and a program use it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { ask } from '../../src/cli/socket-client.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'
import { killProcesses, listProcessesOf } from './processes.ts'

const bin = join(import.meta.dirname, '../../src/bin.ts')

type Addresses = Record<'root' | 'node' | 'inference' | 'control' | 'grpc' | 'socket' | 'apiNode', string> & {
  pid: number
}

const rehearse = (...flags: string[]) => rehearseIn(tmpdir(), ...flags)

function rehearseIn(folder: string, ...flags: string[]) {
  const child = spawn(process.execPath, [bin, 'rehearse', '--set', 'REHEARSAL_LOAD_MS=200', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGINT')
    await new Promise((resolve) => child.once('exit', resolve))
  })
  return child
}

async function read(stream: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

const exitOf = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve))

async function firstLine(child: { stdout: NodeJS.ReadableStream }): Promise<Addresses> {
  for await (const line of createInterface({ input: child.stdout })) {
    const found = JSON.parse(line) as Addresses
    onTestFinished(() => killProcesses(found.root))
    return found
  }
  throw new Error('it printed nothing')
}

const answers = (url: string) =>
  new Promise<boolean>((resolve) => {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    socket.on('connect', () => resolve(true) ?? socket.destroy())
    socket.on('error', () => resolve(false))
  })

test('with --json one line tells where everything is; Ctrl-C ends every process, port and file of it', async () => {
  // Not the usual ones: another rehearsal takes those as soon as they are free.
  const names = ['node', 'inference', 'control', 'admin']
  const ports = await Promise.all(names.map(async (name) => ['--port', `${name}=${await freePort()}`]))
  const child = rehearse('--json', '--gpus', '4', '--tp', '2', ...ports.flat())
  const at = await firstLine(child)
  expect(Object.keys(at)).toEqual(['root', 'node', 'inference', 'control', 'grpc', 'socket', 'apiNode', 'pid'])
  expect((await fetch(`${at.node}/api/v1/state`)).status).toBe(200)
  expect((await fetch(`${at.control}/livez`)).status).toBe(200)
  process.kill(at.pid, 0)
  await eventually('both engines serve', async () => {
    const state = (await (await fetch(`${at.inference}/health`)).text()) === ''
    const all = await listProcessesOf(at.root)
    return (
      state && all.filter(({ argv }) => argv.includes('--tensor-parallel-size 2') && !argv.startsWith('/')).length >= 2
    )
  })
  // The next daemon finds neither a file nor folders in it: it must not take those of a real node.
  await rm(join(at.root, 'gonka-container.env'))
  process.kill(at.pid, 'SIGKILL')
  await eventually(
    'the next daemon runs on its last good configuration',
    async () => {
      const { pid, parts } = await ask<NodeStatus>(at.socket, 'GET /status')
      return pid !== at.pid && parts.find(({ name }) => name === 'config')?.problem?.code === 'config-missing'
    },
    30_000,
  )
  const ended = exitOf(child)
  child.kill('SIGINT')
  expect(await ended).toBe(0)
  expect(await listProcessesOf(at.root)).toEqual([])
  await expect(stat(at.root)).rejects.toThrow('ENOENT')
  for (const url of [at.node, at.inference, at.control, at.apiNode]) expect(await answers(url)).toBe(false)
})

test('Ctrl-C while it starts ends everything, too', async () => {
  const child = rehearse('--json', '--set', 'REHEARSAL_LOAD_MS=60000')
  const at = await firstLine(child)
  const ended = exitOf(child)
  child.kill('SIGINT')
  expect(await ended).toBe(0)
  expect(await listProcessesOf(at.root)).toEqual([])
})

test('one whose reader leaves ends as with Ctrl-C', async () => {
  const child = rehearse('--gpus', '0')
  let root: string | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    root = /^files {8}(\S+) /.exec(line)?.[1]
    if (root !== undefined) break
  }
  const ended = exitOf(child)
  child.stdout.destroy()
  expect(await ended).toBe(0)
  expect(await listProcessesOf(root ?? '')).toEqual([])
  await expect(stat(root ?? '')).rejects.toThrow('ENOENT')
})

test('a rehearsal that is killed takes its daemon, engines, tunnels and frps along', async () => {
  const child = rehearse('--json', '--gpus', '1')
  const at = await firstLine(child)
  await eventually('it serves', async () => (await fetch(`${at.inference}/health`)).ok, 30_000)
  expect((await listProcessesOf(at.root)).some(({ argv }) => /frps/.test(argv))).toBe(true)
  onTestFinished(() => rm(at.root, { recursive: true, force: true }))
  child.kill('SIGKILL')
  await eventually('nothing is left', async () => (await listProcessesOf(at.root)).length === 0, 30_000)
})

// Mounting a disk needs root.
test.skipIf(process.getuid?.() !== 0)(
  'a rehearsal on a disk that fills up ends whole, and leaves nothing',
  async () => {
    const disk = await tempDir()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk])
    onTestFinished(() => void execFileSync('umount', ['-l', disk]))
    const child = rehearseIn(disk, '--json', '--gpus', '1')
    const at = await firstLine(child)
    await eventually('it serves', async () => (await fetch(`${at.inference}/health`)).ok, 30_000)
    execFileSync(
      'sh',
      ['-c', 'cat /dev/zero > filler; rm gonka-rehearsal-*/log/gonka-node.log; echo x >> filler || true'],
      {
        cwd: disk,
        stdio: 'ignore',
      },
    )
    process.kill(at.pid, 'SIGKILL')
    await eventually(
      'the next daemon',
      async () => (await ask<NodeStatus>(at.socket, 'GET /status')).pid !== at.pid,
      30_000,
    )
    const [err, ended] = [read(child.stderr), exitOf(child)]
    child.kill('SIGINT')
    expect([await ended, await err]).toEqual([0, ''])
    expect(await listProcessesOf(at.root)).toEqual([])
    await expect(stat(at.root)).rejects.toThrow('ENOENT')
    const again = rehearseIn(disk, '--json', '--gpus', '1')
    expect(await exitOf(again)).not.toBe(0)
    expect(readdirSync(disk).filter((name) => name.startsWith('gonka'))).toEqual([])
  },
)

test('Ctrl-C before the daemon listens ends everything, too', async () => {
  const admin = await freePort()
  // Not an address of any machine: the daemon never listens there.
  const child = rehearse('--set', 'NODE_BIND=203.0.113.1', '--port', `admin=${admin}`)
  await eventually('the world is there', () => answers(`http://127.0.0.1:${admin}`))
  const ended = exitOf(child)
  child.kill('SIGINT')
  expect(await ended).toBe(0)
  expect(await answers(`http://127.0.0.1:${admin}`)).toBe(false)
})

test('--until mining ends 0 once the node is registered and every engine generates', async () => {
  const child = rehearse('--until', 'mining', '--timeout', '25s')
  const [out, err, code] = await Promise.all([read(child.stdout), read(child.stderr), exitOf(child)])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatch(/registered[\s\S]*mining: engine :\d+, engine :\d+/)
})

test.each([
  ['an engine that never starts', ['--set', 'REHEARSAL_CRASH=oom-warmup'], /fleet: .*\[.*: .*\]/],
  ['a frp server that refuses the token', ['--set', 'SECRET_FRP_TOKEN=wrong'], /tunnels: .*token/],
])('--until mining ends 1 after --timeout and says why: %s', async (_, flags, reason) => {
  const child = rehearse('--until', 'mining', '--timeout', '8s', '--gpus', '1', ...flags)
  const [, err, code] = await Promise.all([read(child.stdout), read(child.stderr), exitOf(child)])
  expect(code).toBe(1)
  expect(err).toMatch(/not mining after 8 s: not registered/)
  expect(err).toMatch(reason)
})

test('a named port that somebody has is told with its holder, ends a wait for mining in time, and else is tried on', async () => {
  // As a stranger's server would: it answers, and not as a node.
  const holder = createServer((_, response) => response.writeHead(404).end('no')).listen(0, '127.0.0.1')
  await new Promise((resolve) => holder.once('listening', resolve))
  onTestFinished(() => void holder.close())
  const { port } = holder.address() as AddressInfo
  const taken = new RegExp(`port-taken: 127.0.0.1:${port} is held by pid ${process.pid} `)
  const flags = ['--gpus', '1', '--port', `node=${port}`]
  const waits = rehearse(...flags, '--until', 'mining', '--timeout', '8s')
  const [out, err, code] = await Promise.all([read(waits.stdout), read(waits.stderr), exitOf(waits)])
  expect([code, out]).toEqual([1, expect.stringContaining(`http://127.0.0.1:${port}`)])
  expect(err).toMatch(/the node API is not there: cannot listen/)
  expect(err).toMatch(/not mining after 8 s: not registered; listener node: cannot listen/)
  expect(err).toMatch(taken)

  const goesOn = rehearse('--json', ...flags)
  const told = read(goesOn.stderr)
  const at = await firstLine(goesOn)
  holder.close()
  await eventually('the daemon has its port', async () => (await fetch(`${at.node}/api/v1/state`)).status === 200)
  goesOn.kill('SIGINT')
  expect(await told).toMatch(taken)
})

test('a usual port that is taken is replaced by the next free one, and each port can be chosen', async () => {
  const holder = createServer().listen(0)
  await new Promise((resolve) => holder.once('listening', resolve))
  onTestFinished(() => void holder.close())
  const usual = createServer()
    .on('error', () => {})
    .listen(8080)
  onTestFinished(() => void usual.close())
  const child = rehearse('--json', '--gpus', '0')
  const at = await firstLine(child)
  expect(new URL(at.node).port).not.toBe('8080')
  expect((await fetch(`${at.node}/api/v1/state`)).status).toBe(200)
})

test('another program can take the place of the engine: it is launched with the command line of vLLM', async () => {
  const child = rehearse('--json', '--gpus', '1', '--engine', '/bin/false', '--set', 'VLLM_PROFILE=v1-overlay')
  const at = await firstLine(child)
  await eventually('its end is told', async () => {
    const status = spawn(process.execPath, [bin, 'status', '--json', '--socket', at.socket], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return /engine-exited|engine-crash-loop/.test(await read(status.stdout))
  })
})
