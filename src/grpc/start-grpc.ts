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
import { createStatus } from '../core/status-signal.ts'
import { until } from '../core/watch.ts'
import { openPort } from '../http/open-port.ts'
import type { TlsMaterial } from '../http/tls-files.ts'
import { toGrpcProblem } from './problems.ts'
import type { GrpcServer, GrpcServerDeps } from './server.ts'

export type GrpcDeps = Omit<GrpcServerDeps, 'limitMessageSize'> & {
  config: {
    listeners: Pick<ListenersConfig, 'controlHost' | 'accessKey' | 'accessKeyFile'>
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
  if (refusal !== undefined) return refuse(refusal)
  const place = { name: 'grpc', host: listeners.controlHost, port: launches.grpcPort, fdStore }
  const status = createStatus(`opening ${renderHostPort(place)}`)
  const address = signal<HostPort | undefined>(undefined)
  const ending = new AbortController()
  const sockets = new Set<Socket>()
  const state: { server?: Promise<GrpcServer>; ended?: Promise<void> } = {}
  const listener = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Before the server has it; then it has a listener of its own.
    socket.on('error', () => {})
    serve(socket).catch((error: unknown) => {
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

  async function serve(socket: Socket): Promise<void> {
    const [server, plain] = await Promise.all([load(), strip(socket), whenSettled()])
    if (!socket.destroyed) server.accept(plain)
  }

  async function strip(socket: Socket): Promise<Socket> {
    if (!deps.tls) return socket
    const { secure } = await import('./tls.ts')
    return secure(socket, deps.tls.peek())
  }

  function load(): Promise<GrpcServer> {
    state.server ??= import('./server.ts').then(({ createGrpcServer }) =>
      createGrpcServer({ ...deps, limitMessageSize: launches.limitMessageSize }),
    )
    return state.server
  }

  async function whenSettled(): Promise<void> {
    if (deps.settled) await until(deps.settled, Boolean, within(4000)).catch(() => {})
  }

  async function end(intent: Intent): Promise<void> {
    ending.abort()
    await opened
    if (intent !== 'restart') fdStore.forget('grpc')
    const patience = intent === 'restart' ? restartDrainMs : drainMs
    const closed = new Promise((resolve) => listener.close(resolve))
    const server = await state.server?.catch(() => undefined)
    server?.drain(patience)
    const late = setTimeout(() => sockets.forEach((socket) => socket.destroy()), server ? patience + 500 : 0)
    await closed
    clearTimeout(late)
    await server?.end()
    address.value = undefined
    status.set('off', 'closed')
  }
}

function refuse(why: string): GrpcListener {
  const status = createStatus('closed')
  status.set('degraded', 'the gRPC listener stays closed', toGrpcProblem('grpc-refused', why))
  return { name: 'listener grpc', status: status.signal, address: signal(undefined), end: async () => {} }
}
