// One listening port: opened at once and retried for ever, inherited from and kept in the fd store (D11), ended by intent.
import type { Server } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { type BackoffPolicy, judgeBackoff } from '../core/backoff.ts'
import { systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { noFdStore, type FdStore } from '../core/fd-store.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { findPortHolder } from '../core/port-holder.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { describeListenProblem, type HttpProblemCode } from './problems.ts'
import { createHttpServer, type OnRequest } from './server.ts'
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
}

export interface Listener extends Component {
  /** Where it listens; undefined until it does. */
  readonly address: ReadonlySignal<{ host: string; port: number } | undefined>
  /** For a second kind of connection (upgrade); the raw server. */
  readonly server: Server
}

const retry: BackoffPolicy = { first: 200, factor: 2, cap: 5000, jitter: 0.2, stable: 60_000 }
/** A restart is a matter of a few hundred ms: what runs gets the chance to finish, and callers wait in the backlog. */
const restartDrainMs = 500

export function startListener(options: ListenerOptions): Listener {
  const { name, host, port, fdStore = noFdStore, log, drainMs = 30_000 } = options
  const status = createStatus(`opening ${renderHostPort({ host, port })}`)
  const address = signal<{ host: string; port: number } | undefined>(undefined)
  const ending = new AbortController()
  const state: { ended?: Promise<void> } = {}
  const traffic = createTraffic()
  const server = createHttpServer((request, response) => {
    traffic.note(response)
    options.onRequest(request, response)
  })
  server.on('connection', (socket) => traffic.connect(socket))
  const opened = open()
  return {
    name: `listener ${name}`,
    status: status.signal,
    address,
    server,
    endsWithin: drainMs + 5000,
    end: (intent) => (state.ended ??= end(intent)),
  }

  async function open(): Promise<void> {
    for (let failures = 1; !ending.signal.aborted; failures += 1) {
      try {
        await listenOnce(server, { name, host, port, fdStore })
        const bound = server.address() as AddressInfo
        address.value = { host: bound.address, port: bound.port }
        return status.set('ok', `listening on ${renderHostPort(address.value)}`)
      } catch (error) {
        await tellFailure(error, options, status)
        log.warn({ listener: name, port, code: codeOf(error) }, `listen failed: ${messageOf(error)}`)
        await systemClock.wait(judgeBackoff(retry, failures, Math.random()), ending.signal)
      }
    }
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

async function tellFailure(error: unknown, { host, port }: ListenerOptions, status: StatusSignal): Promise<void> {
  const codes: Record<string, HttpProblemCode> = {
    EADDRINUSE: 'port-taken',
    EACCES: 'port-forbidden',
    EADDRNOTAVAIL: 'bind-address-absent',
  }
  const code = codes[codeOf(error) ?? ''] ?? 'listen-failed'
  const where = renderHostPort({ host, port })
  const holder = code === 'port-taken' ? await findPortHolder(port) : undefined
  const evidence = holder ? `${where} is held by pid ${holder.pid} (${holder.program})` : messageOf(error)
  status.set('failed', `cannot listen on ${where}`, describeListenProblem(code, evidence))
}

type Place = { name: string; host: string; port: number; fdStore: FdStore }

/** The inherited socket where it is still the one that is configured, a new one otherwise. @throws what listen says */
async function listenOnce(server: Server, { name, host, port, fdStore }: Place): Promise<void> {
  const fd = fdStore.take(name)
  if (fd !== undefined && (await listenInherited(server, fd, { host, port }))) return
  if (fd !== undefined) fdStore.forget(name)
  await listen(server, { host, port, backlog: 2048 })
  // The one private field that we need (facts/systemd.md 3.7).
  const kept = (server as Server & { _handle?: { fd: number } })._handle?.fd
  if (kept !== undefined && kept >= 0) fdStore.keep(name, kept)
}

async function listenInherited(server: Server, fd: number, wanted: HostPort): Promise<boolean> {
  try {
    await listen(server, { fd, backlog: 2048 })
  } catch {
    return false
  }
  const bound = server.address()
  if (typeof bound === 'object' && bound && isSamePlace(bound, wanted)) return true
  await new Promise((resolve) => server.close(resolve))
  return false
}

/** A changed configuration asks for another place than the kept socket has. */
function isSamePlace(bound: AddressInfo, { host, port }: HostPort): boolean {
  return (port === 0 || bound.port === port) && (isIP(host) === 0 || bound.address === host)
}

function listen(server: Server, where: { host?: string; port?: number; fd?: number; backlog: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
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
