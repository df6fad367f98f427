// The whole daemon in a temporary root, with the rehearsal's outside world around it. Everything ends with the test: after it no
// process of this root is left. Several worlds run side by side: each has ports and a loopback address of its own.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import type { NodeStatus, PartStatus } from '../../src/api/status.ts'
import { ask } from '../../src/cli/socket-client.ts'
import { type DaemonChild, startDaemon } from '../../src/rehearsal/daemon-child.ts'
import type { EngineView } from '../../src/fleet/fleet.ts'
import { type Outside, startOutside } from '../../src/rehearsal/outside.ts'
import { eventually } from '../support/eventually.ts'
import { reservePorts } from './port-block.ts'
import { killProcesses, listProcessesOf, type OwnProcess } from './processes.ts'

/** A boot is 60 processes: on a machine that has other work it takes many times its 3 s. */
const patience = 60_000
vi.setConfig({ testTimeout: 3 * patience })

export type WorldOptions = {
  gpus?: number
  tensorParallel?: number
  /** Of the broker's 60 s and 30 s. */
  scale?: number
  /** Variables of the env file. */
  set?: Readonly<Record<string, string>>
  engine?: string
  /** Variables of the daemon's process: they win over the file's. */
  environment?: Readonly<Record<string, string>>
  /** False: the test starts the daemon itself. */
  start?: boolean
  /** When it all ends: with the test, or `afterAll` for a world that several tests share. */
  lastsUntil?: (end: () => Promise<void>) => void
}

export interface World extends Outside {
  readonly node: string
  readonly inference: string
  readonly control: string
  /** Changed by a test, used by the next start. */
  environment: Record<string, string>
  /** Where the next daemon's output goes. */
  daemonLog: string
  /** The daemon that was started last. */
  daemon(): DaemonChild
  /** Not started again after its end, whatever that was: a test is systemd here. */
  start(): DaemonChild
  /** @returns the exit status, 128 for a signal */
  kill(signal: NodeJS.Signals): Promise<number>
  /** SIGTERM, wait, start. */
  restart(): Promise<void>
  status(): Promise<NodeStatus>
  /** `config`, or `engines/engine 0`. */
  part(path: string): Promise<PartStatus | undefined>
  engines(): Promise<EngineView[]>
  untilPart(path: string, what: string, wanted: (part: PartStatus) => boolean, ms?: number): Promise<PartStatus>
  untilProblem(path: string, code: string, ms?: number): Promise<PartStatus>
  /** The daemon says so, the broker sees INFERENCE, and a chat through the inference listener is answered. */
  untilRegistered(ms?: number): Promise<void>
  /** An answer to a chat through the inference listener. */
  chat(): Promise<number>
  readEnv(): Promise<string>
  writeEnv(text: string | Uint8Array): Promise<void>
  /** Changes or adds one variable. */
  setEnv(name: string, value: string): Promise<void>
  log(): Promise<string>
  /** Every process of this root but those of the world: daemon, keepers, engines, frpc. */
  processes(): Promise<OwnProcess[]>
  untilNoProcess(ms?: number): Promise<void>
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const block = await reservePorts()
  // gRPC beside control, where clients look for it.
  const [node, inference, control, grpc, admin, callbacks, frps] = [0, 10, 1, 2, 3, 4, 5].map((at) => block.base + at)
  const outside = await startOutside({
    gpus: options.gpus ?? 2,
    tensorParallel: options.tensorParallel ?? 1,
    engine: options.engine,
    scale: options.scale ?? 0.02,
    host: block.host,
    ports: { node, inference, control, grpc, admin, callbacks, frps } as Outside['ports'],
    set: { REHEARSAL_LOAD_MS: '200', ...options.set },
  })
  const { machine, ports, apiNode } = outside
  const state: { daemon?: DaemonChild; all: DaemonChild[] } = { all: [] }
  const world: World = {
    ...outside,
    node: `http://127.0.0.1:${ports.node}`,
    inference: `http://127.0.0.1:${ports.inference}`,
    control: `http://127.0.0.1:${ports.control}`,
    // What systemd sets besides the file.
    environment: {
      STATE_DIRECTORY: join(machine.folder, 'state'),
      RUNTIME_DIRECTORY: join(machine.folder, 'run'),
      ...options.environment,
    },
    daemonLog: join(machine.folder, 'gonka-node.log'),
    daemon() {
      if (!state.daemon) throw new Error('no daemon was started')
      return state.daemon
    },
    start() {
      state.daemon = startDaemon({
        envFile: machine.envFile,
        logFile: world.daemonLog,
        environment: world.environment,
        keep: false,
      })
      state.all.push(state.daemon)
      return state.daemon
    },
    async kill(signal) {
      const daemon = world.daemon()
      process.kill(daemon.pid() ?? Number.NaN, signal)
      return daemon.ended
    },
    async restart() {
      await world.kill('SIGTERM')
      world.start()
    },
    status: () => ask<NodeStatus>(machine.socket, 'GET /status'),
    part: async (path) => findPart((await world.status()).parts, path.split('/')),
    engines: () => ask<EngineView[]>(machine.socket, 'GET /engines'),
    async untilPart(path, what, wanted, ms = patience) {
      const seen: { last?: unknown } = {}
      try {
        return await eventually(
          `${path} ${what}`,
          async () => {
            const part = await world.part(path)
            seen.last = part
            return part && wanted(part) ? part : undefined
          },
          ms,
        )
      } catch (error) {
        const open = (await world.status().catch(() => undefined))?.parts.filter(({ health }) => health !== 'ok')
        const text = JSON.stringify({ last: seen.last, open })
        throw new Error(`${(error as Error).message}: ${text}`, { cause: error })
      }
    },
    untilProblem: (path, code, ms) => world.untilPart(path, `shows ${code}`, (part) => part.problem?.code === code, ms),
    async untilRegistered(ms = patience) {
      const { nodes } = apiNode.world
      await world.untilPart('api-nodes', 'is registered', ({ summary }) => summary.includes('registered as'), ms)
      const seen = () => JSON.stringify([...nodes.values()].map(({ state: { current_status } }) => current_status))
      await eventually('the broker sees INFERENCE', () => seen() === '["INFERENCE"]', ms).catch((error: unknown) => {
        throw new Error(`the broker sees ${seen()}`, { cause: error })
      })
      await eventually('a chat is answered', async () => (await world.chat()) === 200, ms)
    },
    async chat() {
      const answer = await fetch(`${world.inference}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'rehearsal/tiny-1b', max_tokens: 2, messages: [{ role: 'user', content: 'a' }] }),
        signal: AbortSignal.timeout(10_000),
      })
      await answer.text()
      return answer.status
    },
    readEnv: () => readFile(machine.envFile, 'utf8'),
    writeEnv: (text) => writeFile(machine.envFile, text, { mode: 0o600 }),
    async setEnv(name, value) {
      const kept = (await world.readEnv()).split('\n').filter((line) => line !== '' && !line.startsWith(`${name}=`))
      await world.writeEnv(`${[...kept, `${name}=${value}`].join('\n')}\n`)
    },
    log: () => readFile(world.daemonLog, 'utf8').catch(() => ''),
    processes: async () => (await listProcessesOf(machine.folder)).filter(({ kind }) => kind !== 'frps'),
    async untilNoProcess(ms = patience) {
      await eventually('no process is left', async () => (await world.processes()).length === 0, ms).catch(
        async (error: unknown) => {
          throw new Error(`left: ${JSON.stringify(await world.processes())}`, { cause: error })
        },
      )
    },
  }
  const lastsUntil = options.lastsUntil ?? onTestFinished
  lastsUntil(async () => {
    // Engines and tunnels outlive their daemon by design: the test's end is nobody's stop, so everything goes at once.
    await killProcesses(machine.folder)
    await Promise.all(state.all.map(({ ended }) => ended))
    await outside.end()
    await block.release()
  })
  if (options.start !== false) world.start()
  return world
}

function findPart(parts: readonly PartStatus[], [name, ...rest]: string[]): PartStatus | undefined {
  const found = parts.find((part) => part.name === name)
  return rest.length === 0 ? found : findPart(found?.parts ?? [], rest)
}
