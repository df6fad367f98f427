// The gRPC listener: open where the control listener is, from the first moment; the server behind it is loaded with the first
// connection. Ends by intent, as every listener.
import { createServer, type Socket } from 'node:net'
import { type ReadonlySignal, signal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { judgeControl } from '../config/judge-control.ts'
import type { LaunchesConfig } from '../config/launches.ts'
import type { ListenersConfig } from '../config/listeners.ts'
import type { Component } from '../core/component.ts'
import { messageOf } from '../core/errors.ts'
import { type FdStore, noFdStore } from '../core/fd-store.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import type { Intent } from '../core/intent.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { until } from '../core/watch.ts'
import { patience } from '../http/hold.ts'
import { openPort } from '../http/open-port.ts'
import type { TlsMaterial } from '../http/tls-files.ts'
import { toGrpcProblem } from './problems.ts'
import type { GrpcServer, GrpcServerDeps } from './server.ts'
import type { TlsDoor } from './tls.ts'

export type GrpcDeps = Omit<GrpcServerDeps, 'limitMessageSize'> & {
  config: {
    listeners: Pick<ListenersConfig, 'controlHost' | 'accessKey' | 'accessKeyFile'> & Partial<OtherPorts>
    launches: Pick<LaunchesConfig, 'grpcPort' | 'limitMessageSize'>
  }
  fdStore?: FdStore
  /** Engines of the daemon before us are found: until then connections wait, at most 4 s. */
  settled?: ReadonlySignal<boolean>
  /** Speaks TLS alone; plaintext without it, as the old service. */
  tls?: ReadonlySignal<TlsMaterial | undefined> | undefined
  /** How long a stop waits for running calls, ms. */
  drainMs: number
}

type OtherPorts = Pick<ListenersConfig, 'nodePort' | 'inferencePort' | 'controlPort'>

export interface GrpcListener extends Component {
  readonly address: ReadonlySignal<HostPort | undefined>
}

const maxConnections = 1024
/** As http/listener.ts. */
const restartDrainMs = 500

export function startGrpc(deps: GrpcDeps): GrpcListener {
  const { log, fdStore = noFdStore, drainMs } = deps
  const { listeners, launches } = deps.config
  const refusal = judgeControl(listeners)
  if (refusal !== undefined)
    return toClosed((status) =>
      status.set('degraded', 'the gRPC listener stays closed', toGrpcProblem('grpc-refused', refusal)),
    )
  const { nodePort, inferencePort, controlPort } = listeners
  // Only our default can be: a port that was given is checked with the configuration.
  if ([nodePort, inferencePort, controlPort].includes(launches.grpcPort)) {
    const why = `closed: ${launches.grpcPort} is the port of another listener, VLLM_GRPC_PORT gives it its own`
    return toClosed((status) => status.set('off', why))
  }
  const place = { name: 'grpc', host: listeners.controlHost, port: launches.grpcPort, fdStore }
  const status = createStatus(`opening ${renderHostPort(place)}`)
  const address = signal<HostPort | undefined>(undefined)
  const ending = new AbortController()
  const sockets = new Set<Socket>()
  const state: { ended?: Promise<void> } = {}
  const backend = createBackend(deps)
  const listener = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Before the server has it; then it has a listener of its own.
    socket.on('error', () => {})
    backend.serve(socket).catch((error: unknown) => {
      socket.destroy()
      log.warn(`gRPC connection ended: ${messageOf(error)}`)
    })
  })
  listener.maxConnections = maxConnections
  const opened = openPort(listener, place, { address, status, log }, ending.signal)
  return {
    name: 'listener grpc',
    status: status.signal,
    address,
    endsWithin: drainMs + 5000,
    end: (intent) => (state.ended ??= end(intent)),
  }

  async function end(intent: Intent): Promise<void> {
    ending.abort()
    await opened
    if (intent !== 'restart') fdStore.forget('grpc')
    const bound = intent === 'restart' ? restartDrainMs : drainMs
    const closed = new Promise((resolve) => listener.close(resolve))
    const isUsed = await backend.drain(bound)
    // A little after the server's own end of patience.
    const late = setTimeout(() => sockets.forEach((socket) => socket.destroy()), isUsed ? bound + 500 : 0)
    await closed
    clearTimeout(late)
    await backend.end()
    address.value = undefined
    status.set('off', 'closed')
  }
}

interface Backend {
  /** @throws where the server cannot be loaded, or has no certificate */
  serve(socket: Socket): Promise<void>
  /** @returns whether there is anything to drain */
  drain(ms: number): Promise<boolean>
  end(): Promise<void>
}

/** The server, loaded when it is first needed. */
function createBackend(deps: GrpcDeps): Backend {
  const { settled, tls, log } = deps
  const state: { loading?: Promise<Loaded> } = {}
  const load = async (): Promise<Loaded> => {
    const [{ createGrpcServer }, { createTlsDoor }] = await Promise.all([import('./server.ts'), import('./tls.ts')])
    const server = await createGrpcServer({ ...deps, limitMessageSize: deps.config.launches.limitMessageSize })
    return { server, door: tls && createTlsDoor((socket) => server.accept(socket), log) }
  }
  const loadOnce = (): Promise<Loaded> => {
    if (state.loading) return state.loading
    const loading = load()
    state.loading = loading
    // The next connection tries again.
    loading.catch(() => delete state.loading)
    return loading
  }
  const whenSettled = async () => {
    if (settled) await until(settled, Boolean, within(patience.work)).catch(() => {})
  }
  const loaded = async () => (await state.loading?.catch(() => undefined))?.server
  return {
    async serve(socket) {
      const [{ server, door }] = await Promise.all([loadOnce(), whenSettled()])
      if (socket.destroyed) return
      if (door) door.accept(socket, tls?.peek())
      else server.accept(socket)
    },
    async drain(ms) {
      const server = await loaded()
      server?.drain(ms)
      return server !== undefined
    },
    async end() {
      const server = await loaded()
      server?.end()
    },
  }
}

type Loaded = { server: GrpcServer; door: TlsDoor | undefined }

function toClosed(tell: (status: StatusSignal) => void): GrpcListener {
  const status = createStatus('closed')
  tell(status)
  return { name: 'listener grpc', status: status.signal, address: signal(undefined), end: async () => {} }
}
