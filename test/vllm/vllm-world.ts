// A rehearsal whose engine is the real vLLM: its model in the hub's cache layout, and eyes on its processes and shared memory
// that do not go through the daemon's own.
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NodeStatus } from '../../src/api/status.ts'
import { ask } from '../../src/cli/socket-client.ts'
import { listProcesses, readProcStat } from '../../src/core/proc.ts'
import { findSegments } from '../../src/engine/shm.ts'
import type { EngineView } from '../../src/fleet/fleet.ts'
import { type Rehearsal, startRehearsal } from '../../src/rehearsal/rehearsal.ts'
import { eventually } from '../support/eventually.ts'
import type { RealVllm } from './real-vllm.ts'

export const modelName = 'real/tiny-llama'

/** What a machine without GPUs and with two cores can bear, in several spellings. */
export const smallArgs = '--load-format dummy --max_model_len=256 --max-num-seqs 4 --enforce-eager --no-log-error-stack'

/** A load takes 25 s on two idle cores, and was seen to take 120 s on busy ones. */
export const loadPatience = 300_000

export type VllmWorld = Rehearsal & {
  /** Remote ports of the tunnel. */
  remote: { inference: number; node: number }
  engine(): Promise<EngineView | undefined>
  untilPhase(phase: EngineView['phase'], ms?: number): Promise<EngineView>
  status(): Promise<NodeStatus>
  /** Of the daemon's log, where it holds all of these words. */
  findLog(...words: string[]): Record<string, unknown>[]
}

export async function startVllmWorld(vllm: RealVllm, set: Record<string, string> = {}): Promise<VllmWorld> {
  const hfHome = await mkdtemp(join(tmpdir(), 'gonka-vllm-'))
  await writeHubModel(vllm.model, hfHome)
  const number = pickNumber()
  const rehearsal = await startRehearsal({
    gpus: 0,
    tensorParallel: 1,
    engine: vllm.python,
    ports: pickPorts(),
    // The broker polls every 1.2 s and puts right every 0.6 s.
    scale: 0.02,
    set: {
      MODEL_NAME: modelName,
      CLIENT_ID: number,
      HF_HOME: hfHome,
      DTYPE: 'bfloat16',
      EXTRA_VLLM_ARGS: smallArgs,
      VLLM_CPU_KVCACHE_SPACE: '1',
      VLLM_CPU_OMP_THREADS_BIND: 'nobind',
      ...set,
    },
  })
  const { machine } = rehearsal
  const engine = async () => (await ask<EngineView[]>(machine.socket, 'GET /engines'))[0]
  const log = join(machine.folder, 'log', 'gonka-node.log')
  return {
    ...rehearsal,
    remote: { inference: Number(`1${number}`), node: Number(`2${number}`) },
    engine,
    status: () => ask<NodeStatus>(machine.socket, 'GET /status'),
    untilPhase: (phase, ms = loadPatience) =>
      eventually(
        `the engine is ${phase}`,
        async () => {
          const view = await engine()
          return view?.phase === phase ? view : undefined
        },
        ms,
      ),
    findLog: (...words) =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => words.every((word) => line.includes(word)))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    async end() {
      await rehearsal.end()
      await rm(hfHome, { recursive: true, force: true })
    },
  }
}

/** As a download would have left it. */
async function writeHubModel(model: string, hfHome: string): Promise<void> {
  const commit = 'fedcba9876543210fedcba9876543210fedcba98'
  const repo = join(hfHome, 'hub', `models--${modelName.replace('/', '--')}`)
  await mkdir(join(repo, 'refs'), { recursive: true })
  await cp(model, join(repo, 'snapshots', commit), { recursive: true })
  await writeFile(join(repo, 'refs', 'main'), commit)
}

/** A CLIENT_ID whose remote ports nobody on this machine has: the tunnel opens them here. */
function pickNumber(): string {
  for (;;) {
    const number = String(1000 + Math.floor(Math.random() * 8999))
    if (areFree([Number(`1${number}`), Number(`2${number}`)])) return number
  }
}

/**
 * Above the tunnel's remote ports and below those that the kernel gives to connections: vLLM binds its port many seconds after
 * it was found free.
 */
function pickPorts() {
  for (;;) {
    const first = 30_000 + Math.floor(Math.random() * 2700)
    const [node, control, grpc, admin, callbacks, frps, inference] = [0, 1, 2, 3, 4, 5, 6].map(
      (at) => first + at,
    ) as Seven
    // Engines take those above the inference port.
    if (areFree([node, control, grpc, admin, callbacks, frps, inference, inference + 1, inference + 2]))
      return { node, control, grpc, admin, callbacks, frps, inference }
  }
}

type Seven = [number, number, number, number, number, number, number]

function areFree(ports: readonly number[]): boolean {
  const taken = readFileSync('/proc/net/tcp', 'latin1') + readFileSync('/proc/net/tcp6', 'latin1')
  return !ports.some((port) => taken.includes(`:${port.toString(16).toUpperCase().padStart(4, '0')} `))
}

/** pid and start time of a process. */
export type Seen = { pid: number; startTime: string; command: string }

/** vLLM calls no setsid: everything of an engine is in the session of any of its processes, also when their parent is dead. */
export function seeProcesses(pid: number): Seen[] {
  const session = readProcStat(pid)?.session
  return session === undefined ? [] : seeSession(session)
}

export function seeSession(session: number): Seen[] {
  return listProcesses()
    .filter((one) => one.session === session)
    .map(({ pid, startTime }) => ({ pid, startTime, command: readCommand(pid) }))
}

export const isAlive = ({ pid, startTime }: Seen): boolean => readProcStat(pid)?.startTime === startTime

/** The one of the engine's processes whose command line holds this text. */
export function pickProcess(seen: readonly Seen[], text: string): Seen | undefined {
  return seen.find(({ command }) => command.includes(text))
}

/** Names in /dev/shm that these processes have open. */
export async function seeSegments(seen: readonly Seen[]): Promise<string[]> {
  return [...(await findSegments(seen.map(({ pid }) => pid)))]
}

function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}
