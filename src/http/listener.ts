// One HTTP listener on a port of its own: open as long as the daemon runs, ended by intent.
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { signal, type ReadonlySignal } from '@preact/signals-core'
import type { Component } from '../core/component.ts'
import { noFdStore, type FdStore } from '../core/fd-store.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { createStatus } from '../core/status-signal.ts'
import { openPort } from './open-port.ts'
import { createHttpServer, createTlsServer, type OnRequest } from './server.ts'
import type { TlsMaterial } from './tls-files.ts'
import { createTraffic } from './traffic.ts'

export type ListenerOptions = {
  /** Also its name in the fd store. */
  name: string
  host: string
  /** 0: any free one. */
  port: number
  fdStore?: FdStore
  onRequest: OnRequest
  log: Log
  /** How long a stop waits for running requests, ms. */
  drainMs?: number
  /** Speaks TLS alone; without a certificate every handshake fails. */
  tls?: ReadonlySignal<TlsMaterial | undefined> | undefined
}

export interface Listener extends Component {
  /** Where it listens; undefined until it does. */
  readonly address: ReadonlySignal<HostPort | undefined>
  /** For a second kind of connection (upgrade); the raw server. */
  readonly server: Server
}

/** A restart is a matter of a few hundred ms: what runs gets the chance to finish, and callers wait in the backlog. */
const restartDrainMs = 500

export function startListener(options: ListenerOptions): Listener {
  const { name, host, port, fdStore = noFdStore, log, drainMs = 30_000 } = options
  const status = createStatus(`opening ${renderHostPort({ host, port })}`)
  const address = signal<HostPort | undefined>(undefined)
  const ending = new AbortController()
  const state: { ended?: Promise<void> } = {}
  const traffic = createTraffic()
  const onRequest: OnRequest = (request, response) => {
    traffic.note(response)
    options.onRequest(request, response)
  }
  const server = options.tls ? createTlsServer(onRequest, options.tls, ending.signal) : createHttpServer(onRequest)
  server.on(options.tls ? 'secureConnection' : 'connection', (socket: Socket) => traffic.connect(socket))
  const opened = openPort(server, { name, host, port, fdStore }, { address, status, log }, ending.signal)
  return {
    name: `listener ${name}`,
    status: status.signal,
    address,
    server,
    endsWithin: drainMs + 5000,
    end: (intent) => (state.ended ??= end(intent)),
  }

  async function end(intent: Intent): Promise<void> {
    ending.abort()
    traffic.hush()
    await opened
    if (intent !== 'restart') fdStore.forget(name)
    await closeServer(server, intent === 'restart' ? restartDrainMs : drainMs)
    address.value = undefined
    status.set('off', 'closed')
  }
}

/** Stops accepting, waits for running requests at most `patience` ms, destroys the rest. */
function closeServer(server: Server, patience: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), patience)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
