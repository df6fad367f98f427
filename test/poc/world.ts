// Real rehearsal engines, a fleet made of signals, our MLNode API on a port, and an API node that takes batches.
import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { signal } from '@preact/signals-core'
import { request } from 'undici'
import { onTestFinished } from 'vitest'
import type { Status } from '../../src/api/status.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { createJsonApp } from '../../src/http/json-app.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import type { EngineView, Planned } from '../../src/fleet/fleet.ts'
import type { Orders, UpStatus } from '../../src/fleet/orders.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import type { MlnodeDeps } from '../../src/mlnode/deps.ts'
import type { ModelsOnDisk } from '../../src/models/models.ts'
import { registerMlnode } from '../../src/mlnode/app.ts'
import { type Poc, startPoc } from '../../src/poc/poc.ts'
import type { PocPace } from '../../src/poc/progress.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'

const engineProgram = join(import.meta.dirname, '../../src/rehearsal/engine.ts')
export const model = 'test/model'

export type Knobs = Record<string, string>
export type EngineProcess = { upstream: Upstream; kill(): Promise<void>; exited: Promise<void> }

/** Resolves when the engine is healthy; its upstream is `loading` until the caller says otherwise. */
export async function startEngine(slot: number, knobs: Knobs = {}): Promise<EngineProcess> {
  const port = await freePort()
  const argv = ['-m', 'vllm.entrypoints.openai.api_server', '--model', model, '--served-model-name', model]
  const env = {
    PATH: process.env['PATH'] ?? '',
    REHEARSAL_SLOT: String(slot),
    REHEARSAL_LOAD_MS: '10',
    REHEARSAL_GENERATION: 'v1-overlay',
    REHEARSAL_POC_CALLBACK_MS: '60',
    REHEARSAL_POC_NONCES_PER_S: '500',
    ...knobs,
  }
  const child = spawn(process.execPath, [engineProgram, ...argv, '--host', '127.0.0.1', '--port', String(port)], {
    env,
    stdio: 'ignore',
    detached: true,
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const kill = async () => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
    await exited
  }
  onTestFinished(kill)
  const upstream = new Upstream({ id: `engine-${slot}-${port}`, slot, port, model, hasPoc: true, state: 'loading' })
  await eventually(
    'the engine is healthy',
    () => askStatus(`${upstream.origin}/health`).then((status) => status === 200),
    60_000,
  )
  return { upstream, kill, exited }
}

/** Takes connections and requests, and never answers. */
export async function startMute(slot: number): Promise<Upstream> {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve()) && server.closeAllConnections()))
  const { port } = server.address() as AddressInfo
  return new Upstream({ id: `mute-${slot}`, slot, port, model, hasPoc: true, state: 'loading' })
}

type Told = { block_height: number; [more: string]: unknown }
export type Picky = { upstream: Upstream; mines(): Told | undefined; inits(): number }

/** The PoC routes of an engine that takes only some inits. @param status what the others are answered with */
export async function startPicky(slot: number, takes: (body: Told) => boolean, status = 409): Promise<Picky> {
  let mines: Told | undefined
  let inits = 0
  function answer(path: string, text: string): [number, object] {
    if (path.endsWith('/status')) return [200, { status: mines ? 'GENERATING' : 'IDLE', config: mines ?? null }]
    if (path.endsWith('/stop')) {
      mines = undefined
      return [200, { status: 'OK' }]
    }
    inits += 1
    const body = JSON.parse(text) as Told
    if (!takes(body)) return [status, { detail: 'not now' }]
    if (mines) return [409, { detail: 'Already generating' }]
    mines = body
    return [200, { status: 'OK' }]
  }
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const [code, body] = answer(incoming.url ?? '', Buffer.concat(chunks).toString())
      outgoing.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve()) && server.closeAllConnections()))
  const { port } = server.address() as AddressInfo
  const upstream = new Upstream({ id: `picky-${slot}`, slot, port, model, hasPoc: true, state: 'loading' })
  return { upstream, mines: () => mines, inits: () => inits }
}

async function askStatus(url: string): Promise<number> {
  const answer = await request(url)
  await answer.body.dump()
  return answer.statusCode
}

export type Batch = {
  url: string
  headers: IncomingMessage['headers']
  body: { artifacts?: { nonce: number; vector_b64: string }[]; [more: string]: unknown }
}

/** An API node's callback server; `status` is what it answers. */
export async function startCollector(): Promise<{ url: string; batches: Batch[]; answer: { status: number } }> {
  const batches: Batch[] = []
  const answer = { status: 200 }
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Batch['body']
      if (answer.status < 400) batches.push({ url: incoming.url ?? '', headers: incoming.headers, body })
      outgoing
        .writeHead(answer.status, { 'content-type': 'application/json' })
        .end(answer.status < 400 ? '' : '{"error":"not in phase"}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve()) && server.closeAllConnections()))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/poc-batches/test%252Fmodel`,
    batches,
    answer,
  }
}

export type FakeFleet = ReturnType<typeof createFleet>

export function createFleet(instances: number, hasPoc = true) {
  const calls: string[] = []
  const service = signal<'INFERENCE' | 'STOPPED'>('INFERENCE')
  const upStatus = signal<UpStatus>({ status: 'not_started', isStarting: false, isRunning: false })
  const status = signal<Status>({ health: 'ok', summary: 'fine', since: new Date(0) })
  const orders: Orders = {
    up: async () => void calls.push('up'),
    upAsync: async () => void calls.push('upAsync'),
    stop: () => void calls.push('stop'),
    upStatus,
    service,
  }
  return {
    calls,
    orders,
    service,
    upStatus,
    status,
    planned: signal<Planned | undefined>({ model, instances, gpusPerEngine: 1, hasPoc, owner: 'configuration' }),
    upstreams: signal<readonly Upstream[]>([]),
    engines: signal<readonly EngineView[]>([]),
  }
}

/** The engine joins the fleet and serves. */
export function serve(fleet: FakeFleet, engine: Upstream): void {
  engine.state.value = 'serving'
  fleet.upstreams.value = [...fleet.upstreams.peek(), engine]
}

export const noModels: ModelsOnDisk = {
  status: async () => ({ status: 'NOT_FOUND' }),
  download: async () => 'started',
  remove: async () => 'deleted',
  list: async () => [],
  space: async () => ({ cacheBytes: 0, availableBytes: 0, path: '/nowhere' }),
}

export type Node = { url: string; poc: Poc; fleet: FakeFleet; stateDir: string }
type NodeOptions = {
  fleet: FakeFleet
  stateDir?: string
  bootId?: string
  pace?: Partial<PocPace>
  relay?: boolean
  port?: number
  deps?: Partial<MlnodeDeps>
}

/** One life of the daemon, as far as PoC and the MLNode API go. */
export async function startNode(
  options: NodeOptions,
): Promise<Node & { end(intent: 'stop' | 'restart'): Promise<void> }> {
  const { fleet } = options
  const stateDir = options.stateDir ?? (await tempDir())
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const poc = startPoc({
    fleet,
    stateDir,
    bootId: options.bootId ?? 'boot',
    profile: () => 'v1-overlay',
    relayOrigin: options.relay === false ? undefined : url,
    log: silentLog,
    pace: { look: 50, ...options.pace },
  })
  const inventory = signal<Inventory>({ kind: 'none', why: 'this is a test' })
  const deps: MlnodeDeps = {
    version: '1.2.3',
    fleet,
    poc,
    inventory,
    models: noModels,
    launched: () => undefined,
    metrics: 'full',
    log: silentLog,
    clock: systemClock,
    ...options.deps,
  }
  const { onRequest, ready } = createJsonApp({ log: silentLog, routes: (app) => registerMlnode(app, deps) })
  await ready
  const server = createServer(onRequest)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const end = async (intent: 'stop' | 'restart') => {
    await poc.end(intent)
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  onTestFinished(() => end('restart'))
  return { url, poc, fleet, stateDir, end }
}

/** The answer's status and JSON; like the broker, without a Content-Type. */
export async function call(url: string, body?: unknown, method = 'POST'): Promise<{ status: number; body: unknown }> {
  const answer = await request(url, {
    method: method as 'POST',
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.body.text()
  return { status: answer.statusCode, body: text === '' ? undefined : JSON.parse(text) }
}

export function pocInit(more: Record<string, unknown> = {}) {
  return {
    block_hash: 'abc123',
    block_height: 1000,
    public_key: 'key',
    node_id: 3,
    node_count: 7,
    params: { model, seq_len: 64, k_dim: 12 },
    batch_size: 8,
    ...more,
  }
}
