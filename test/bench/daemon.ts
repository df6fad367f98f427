// The real daemon for the bench: `gonka-node run` on the env file of a rehearsal's world, and what /proc says of it.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { unitEnvironment } from './unit-environment.ts'
import { type Mark, parseMarks } from '../../src/rehearsal/engine-marks.ts'
import { type Outside, startOutside } from '../../src/rehearsal/outside.ts'
import { eventually } from '../support/eventually.ts'
import type { BenchContext } from './row.ts'

export type World = Outside & { readonly marks: string }
export type Daemon = {
  readonly pid: number
  /** performance.now() of the spawn. */
  readonly began: number
  /** ms from the spawn until the port of the node listener took a connection. */
  readonly listeningMs: number
  /** SIGTERM: engines and tunnels end with it. */
  stop(): Promise<void>
}

const bin = join(import.meta.dirname, '../../src/bin.ts')
/** Clock ticks per second of /proc: USER_HZ is 100 on every Linux that runs Node. */
const ticksPerSecond = 100
const patience = 60_000

/** Two GPUs (or more) with an engine each, a tunnel, an API node; ports and loopback address of its own. */
export function startWorld(
  context: BenchContext,
  name: string,
  set: Record<string, string> = {},
  gpus = 2,
): Promise<World> {
  return context.once(`world ${name}`, async () => {
    const first = randomInt(1500, 1600) * 20
    const named = {
      node: first,
      inference: first + 10,
      control: first + 1,
      grpc: first + 5,
      admin: first + 2,
      callbacks: first + 3,
    }
    const marks = join(import.meta.dirname, '../../.cache', `bench-marks-${process.pid}-${name}`)
    const outside = await startOutside({
      gpus,
      tensorParallel: 1,
      ports: { ...named, frps: first + 4 },
      host: `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(1, 255)}`,
      scale: 1,
      set: { REHEARSAL_MARKS: marks, ...set },
    })
    context.after(async () => {
      await outside.end()
      await rm(marks, { force: true })
    })
    return { ...outside, marks }
  })
}

/** Forgets what an earlier daemon left, here and at the API node: every boot registers anew. */
export async function forgetBefore({ machine, apiNode, marks }: World): Promise<void> {
  apiNode.world.nodes.clear()
  apiNode.world.calls.length = 0
  await rm(marks, { force: true })
  await rm(join(machine.folder, 'state'), { recursive: true, force: true })
  await mkdir(join(machine.folder, 'state'))
}

/** Resolves when it listens. Started with the unit's environment; its compile cache is warm after the first start. */
export async function startDaemon(context: BenchContext, { machine, ports }: World): Promise<Daemon> {
  const { PATH, HOME, TMPDIR } = process.env
  const env = { PATH, ...(TMPDIR && { TMPDIR }), ...unitEnvironment(), HOME, GONKA_ENV_FILE: machine.envFile }
  const began = performance.now()
  const child = spawn(process.execPath, [bin, 'run'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = () => endChild(child, ended)
  context.after(stop)
  await whenListening(ports.node, child)
  return { pid: child.pid ?? 0, began, listeningMs: performance.now() - began, stop }
}

/** Both engines serve, the tunnels are proved, the API node has us and its broker has asked how we are. */
export async function whenRegistered({ apiNode }: World): Promise<void> {
  const { world } = apiNode
  await eventually('the node is registered', () => world.nodes.size === 1 && findPost(world.calls), patience)
}

export function findPost(calls: World['apiNode']['world']['calls']): { at: number } | undefined {
  return calls.find(
    ({ direction, method, listener }) => direction === 'in' && method === 'POST' && listener === 'admin',
  )
}

export async function whenMarked(world: World, event: Mark['event'], engines: number): Promise<Mark[]> {
  return eventually(
    `${engines} engines are ${event}`,
    async () => {
      const marks = parseMarks(await readFile(world.marks, 'utf8').catch(() => ''))
      const found = marks.filter((mark) => mark.event === event)
      return found.length >= engines ? found : undefined
    },
    patience,
  )
}

/** User and system time, ms. */
export async function readCpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
}

/** MB (10⁶ bytes), as RSS is read by everybody else too: /proc/PID/status. */
export async function readRssMb(pid: number): Promise<number> {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
  return (Number(found?.[1]) * 1024) / 1e6
}

async function whenListening(port: number, child: ChildProcess): Promise<void> {
  const end = performance.now() + patience
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > end) throw new Error(`the daemon does not listen on ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (is: boolean) => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })
}

async function endChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const last = setTimeout(() => child.kill('SIGKILL'), patience)
  await ended
  clearTimeout(last)
}
