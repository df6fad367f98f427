// A container with gonka-node installed, the world around it, and what tests ask of both.
import type { ChildProcess } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { BrokerNode, Call } from '../../src/rehearsal/api-node-world.ts'
import { bootContainer, type Container } from './container.ts'
import { eventually } from './eventually.ts'
import type { NodeImage } from './node-image.ts'
import { worldPorts } from './outside-world.ts'
import type { LoopResult } from './request-loop.ts'

export const envFile = '/etc/gonka-container.env'

/** For probes inside the container: each is a process or two, and must not keep the node from its work. */
export const eventuallyInside = (what: string, probe: () => Promise<unknown>, ms = 40_000) =>
  eventually(what, probe, ms, 100)

export interface NodeBed {
  readonly container: Container
  readonly image: NodeImage
  /** Runs a shell line inside. @throws where it fails */
  sh: Container['sh']
  /** As user-data does under umask 077: root's alone. */
  writeEnv(text: string): Promise<void>
  show(property: string): Promise<string>
  /** Pids of the engines' keepers, by slot. */
  engines(): Promise<number[]>
  registered(): Promise<BrokerNode | undefined>
  /** Everything between the API node and its nodes so far. */
  calls(): Promise<Call[]>
  untilServing(): Promise<void>
  /** What a failed test should say: failed units, and the end of the journal. */
  journal(): Promise<string>
  /** Requests on :5000 until stopped. */
  startLoop(): Promise<RequestLoop>
  /** Settings of the unit's [Service] section, in force from the next start on. */
  writeDropIn(name: string, lines: string): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RequestLoop {
  /** So many more are answered well. */
  untilAnswered(count: number): Promise<void>
  stop(): Promise<LoopResult>
}

export type BootOptions = {
  /** The env file is there when it boots. */
  configured?: boolean
  before?: (root: string) => Promise<void>
}

export async function bootNode(name: string, image: NodeImage, options: BootOptions): Promise<NodeBed> {
  const before = async (root: string) => {
    if (options.configured) await writeFile(join(root, envFile), image.envText, { mode: 0o600 })
    await options.before?.(root)
  }
  const container = await bootContainer(name, { layers: [image.layer], before })
  const world = await startWorld(container, image)
  const sh: Container['sh'] = (line, ms) => container.sh(line, ms)
  const askWorld = async <T>(what: string) =>
    JSON.parse(await sh(`curl -sf http://127.0.0.1:${worldPorts.control}/rehearsal/${what}`)) as T
  const readEngines = async () =>
    JSON.parse(await sh(`curl -sf --unix-socket /run/gonka-node/control.sock http://node/engines`)) as {
      phase: string
      pid?: number
    }[]
  return {
    container,
    image,
    sh,
    async writeEnv(text) {
      await writeFile(join(container.root, `${envFile}.new`), text)
      await chmod(join(container.root, `${envFile}.new`), 0o600)
      await sh(`mv ${envFile}.new ${envFile}`)
    },
    show: async (property) => (await sh(`systemctl show -P ${property} gonka-node.service`)).trim(),
    engines: async () => (await readEngines()).map(({ pid }) => pid ?? 0),
    registered: async () => (await askWorld<BrokerNode[]>('nodes'))[0],
    calls: () => askWorld<Call[]>('calls'),
    async untilServing() {
      const isServing = async () => {
        const found = await readEngines()
        return found.length === 2 && found.every(({ phase }) => phase === 'serving')
      }
      await eventuallyInside('both engines serve', isServing)
    },
    journal: () => sh('systemctl --failed --no-legend --no-pager; journalctl -n 150 -o short-monotonic --no-pager; :'),
    startLoop: () => startLoop(container, image),
    async writeDropIn(name, lines) {
      const folder = '/run/systemd/system/gonka-node.service.d'
      await sh(
        `mkdir -p ${folder} && printf '[Service]\\n${lines}\\n' > ${folder}/${name}.conf && systemctl daemon-reload`,
      )
    },
    async [Symbol.asyncDispose]() {
      await endWorld(world)
      await container[Symbol.asyncDispose]()
    },
  }
}

async function startWorld(container: Container, { frps, frpsConfig, model }: NodeImage): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'outside-world.ts')
  const args = [program, '--config', frpsConfig, '--model', model, ...(frps ? ['--frps', frps] : [])]
  const world = container.inNetwork(process.execPath, args)
  await firstLine(world)
  return world
}

/** It ends its frp server as well, which a kill would leave behind. */
async function endWorld(world: ChildProcess): Promise<void> {
  if (world.exitCode !== null || world.signalCode !== null) return
  const gone = new Promise<void>((resolve) => void world.once('exit', () => resolve()))
  const last = setTimeout(() => world.kill('SIGKILL'), 10_000)
  world.stdin?.end()
  await gone
  clearTimeout(last)
}

async function startLoop(container: Container, { model }: NodeImage): Promise<RequestLoop> {
  const loop = container.inNetwork(process.execPath, [join(import.meta.dirname, 'request-loop.ts'), '--model', model])
  const told: { ok: number; result?: LoopResult } = { ok: 0 }
  const ended = whenEnded(loop, (line) => {
    const one = JSON.parse(line) as { ok: number } | LoopResult
    told.ok = one.ok
    if ('sent' in one) told.result = one
  })
  // Told to whoever waits; nobody may.
  ended.catch(() => {})
  return {
    async untilAnswered(count) {
      const wanted = told.ok + count
      await Promise.race([eventuallyInside(`${count} more are answered`, async () => told.ok >= wanted), ended])
    },
    async stop() {
      loop.stdin?.end()
      await ended
      if (!told.result) throw new Error('the request loop ended without a result')
      return told.result
    },
  }
}

/** @throws with what it said on stderr where it ends with another status than 0 */
function whenEnded(child: ChildProcess, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    if (child.stdout) createInterface(child.stdout).on('line', onLine)
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`a program in the container's network ended with ${code}: ${errors}`))
    })
  })
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    if (child.stdout) createInterface(child.stdout).once('line', resolve)
    child.once('exit', (code) =>
      reject(new Error(`a program in the container's network ended with ${code}: ${errors}`)),
    )
  })
}
