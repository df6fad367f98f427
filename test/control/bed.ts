// The control surface on a real port over launches that live in memory.
import { request as ask } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { type ReadonlySignal, signal, type Signal } from '@preact/signals-core'
import { onTestFinished } from 'vitest'
import { isTerminal, type LaunchRequest, type LaunchResponse, type LaunchState } from '../../src/api/launches.ts'
import { Refusal } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { createStatus } from '../../src/core/status-signal.ts'
import { type ControlAppDeps, createControlApp } from '../../src/control/control-app.ts'
import { createLaunchCalls } from '../../src/control/launch-calls.ts'
import { createStats } from '../../src/control/stats.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import type { LogChunk, Launches } from '../../src/fleet/launches.ts'
import { holdUntil } from '../../src/http/hold.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { createProxy } from '../../src/proxy/proxy.ts'
import { freePort } from '../support/free-port.ts'

export interface FakeLaunches extends Launches {
  readonly all: Signal<readonly LaunchResponse[]>
  readonly asked: LaunchRequest[]
  readonly stops: { id: string; force: boolean }[]
  add(id: string, more?: Partial<LaunchResponse>): LaunchResponse
  become(id: string, state: LaunchState, more?: Partial<LaunchResponse>): void
  say(id: string, text: string): void
  serve(id: string, port: number): Upstream
}

export function createFakeLaunches(): FakeLaunches {
  const all = signal<readonly LaunchResponse[]>([])
  const logs = new Map<string, Buffer>()
  const upstreams = signal<ReadonlyMap<string, readonly Upstream[]>>(new Map())
  const get = (id: string) => all.peek().find(({ launch_id }) => launch_id === id)
  const need = (id: string) => {
    const found = get(id)
    if (!found) throw new Refusal('launch-unknown', 404, `Unknown launch_id: ${id}`)
    return found
  }
  const read = (id: string, offset: number, most: number): LogChunk => {
    need(id)
    const log = logs.get(id) ?? Buffer.alloc(0)
    const from = Math.min(offset, log.length)
    // At a character boundary, as the real one.
    let to = Math.min(from + most, log.length)
    while (to < log.length && ((log[to] ?? 0) & 0xc0) === 0x80) to += 1
    const piece = log.subarray(from, to)
    return { offset: from, next: from + piece.length, content: piece.toString('utf8') }
  }
  const fake: FakeLaunches = {
    name: 'launches',
    status: createStatus('fake').signal,
    all,
    asked: [],
    stops: [],
    get,
    async create(request) {
      fake.asked.push(request)
      return fake.add(`id-${fake.asked.length}`, { model: request.model })
    },
    async stop(id, { force }) {
      need(id)
      fake.stops.push({ id, force })
      if (!isTerminal(need(id).state)) fake.become(id, 'stopped')
      return need(id)
    },
    startNode: async () => need('node'),
    async forget(id) {
      need(id)
      all.value = all.peek().filter(({ launch_id }) => launch_id !== id)
    },
    readLog: async (id, offset, most) => read(id, offset, most),
    async *followLog(id, offset, abort) {
      for (let at = offset; !abort.aborted;) {
        const isOver = !get(id) || isTerminal(need(id).state)
        const chunk = read(id, at, 7)
        at = chunk.next
        if (chunk.content !== '') yield chunk
        else if (isOver) return
        else await wait(5)
      }
    },
    upstreams: (id) => upstreams.peek().get(id) ?? [],
    end: async () => {},
    add(id, more = {}) {
      const at = '2026-11-20T22:12:46.781225Z'
      const times = { created_at: at, updated_at: at }
      const launch: LaunchResponse = {
        launch_id: id,
        model: 'm',
        gpu_ids: [0],
        task: 'generate',
        state: 'bootstrapping',
        ...times,
        error: null,
        ...more,
      }
      all.value = [...all.peek(), launch]
      return launch
    },
    become(id, state, more = {}) {
      all.value = all.peek().map((one) => (one.launch_id === id ? { ...one, state, ...more } : one))
    },
    say: (id, text) => void logs.set(id, Buffer.concat([logs.get(id) ?? Buffer.alloc(0), Buffer.from(text)])),
    serve(id, port) {
      const { model } = need(id)
      const facts = { id: `${id} ${port}`, slot: 0, model, hasPoc: false, state: 'serving' } as const
      const upstream = new Upstream({ ...facts, port })
      upstreams.value = new Map([...upstreams.peek(), [id, [...fake.upstreams(id), upstream]]])
      return upstream
    },
  }
  return fake
}

export type BedOptions = Partial<Pick<ControlAppDeps, 'access' | 'hosts' | 'stats' | 'isMining'>> & {
  safeKwargsOnly?: boolean
  /** Requests wait until it is true. */
  ready?: ReadonlySignal<boolean>
}
export type Heard = { status: number; headers: Record<string, string>; text: string }
export type Said = { body?: string | Buffer; headers?: Record<string, string> }

export type Bed = {
  launches: FakeLaunches
  port: number
  /** On a connection of its own; no header but those that are given. */
  call: (method: string, path: string, said?: Said) => Promise<Heard>
}

export async function startBed(options: BedOptions = {}): Promise<Bed> {
  const launches = createFakeLaunches()
  const log = silentLog
  const upstreams = signal<Upstream[]>([])
  const proxy = createProxy({ upstreams, log })
  const { safeKwargsOnly = false, ready = signal(true), ...more } = options
  const app = createControlApp({
    launches,
    calls: createLaunchCalls({ launches, safeKwargsOnly, logReadChunk: 1 << 20, log }),
    stats: createStats({ nvidiaSmi: '/nonexistent/nvidia-smi' }),
    proxy: proxy.handle,
    isMining: () => false,
    access: { judge: () => 'ok', waitFor: () => 0, isOpen: true },
    hosts: { bind: '127.0.0.1', allowed: [] },
    build: { sha: 'dev', time: 'dev' },
    log,
    ...more,
  })
  const port = await freePort()
  const server = createHttpServer(holdUntil(ready, app))
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
    proxy.end()
  })
  return { launches, port, call: callOn(port) }
}

export const callOn =
  (port: number) =>
  (method: string, path: string, { body, headers = {} }: Said = {}): Promise<Heard> =>
    new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      const call = ask({ host: '127.0.0.1', port, method, path, agent: false, headers: { ...length, ...headers } })
      call.once('error', reject)
      call.once('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      })
      call.end(body)
    })
