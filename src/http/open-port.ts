// A listening port as a state: opened at once and retried for ever, inherited from and kept in the fd store (D11).
import { type AddressInfo, isIP, type Server } from 'node:net'
import type { Signal } from '@preact/signals-core'
import { type BackoffPolicy, judgeBackoff } from '../core/backoff.ts'
import { systemClock } from '../core/clock.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { FdStore } from '../core/fd-store.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import type { Log } from '../core/log.ts'
import { findPortHolder } from '../core/port-holder.ts'
import type { StatusSignal } from '../core/status-signal.ts'
import { describeHttpProblem, type HttpProblemCode } from './problems.ts'

export type PortPlace = {
  /** Also its name in the fd store. */
  name: string
  host: string
  /** 0: any free one. */
  port: number
  fdStore: FdStore
}

export type PortView = {
  /** Where it listens; undefined until it does. */
  address: Signal<HostPort | undefined>
  status: StatusSignal
  log: Log
}

const retry: BackoffPolicy = { first: 200, factor: 2, cap: 5000, jitter: 0.2, stable: 60_000 }

/** Resolves when `server` listens, or `abort` came. Never rejects: what is wrong is in the status. */
export async function openPort(
  server: Server,
  place: PortPlace,
  { address, status, log }: PortView,
  abort: AbortSignal,
): Promise<void> {
  for (let failures = 1; !abort.aborted; failures += 1) {
    try {
      await listenOnce(server, place)
      const bound = server.address() as AddressInfo
      address.value = { host: bound.address, port: bound.port }
      return status.set('ok', `listening on ${renderHostPort(address.value)}`)
    } catch (error) {
      await tellFailure(error, place, status)
      const { name: listener, port } = place
      log.warn({ listener, port, code: codeOf(error) }, `listen failed: ${messageOf(error)}`)
      await systemClock.wait(judgeBackoff(retry, failures, Math.random()), abort)
    }
  }
}

async function tellFailure(error: unknown, { host, port }: PortPlace, status: StatusSignal): Promise<void> {
  const codes: Record<string, HttpProblemCode> = {
    EADDRINUSE: 'port-taken',
    EACCES: 'port-forbidden',
    EADDRNOTAVAIL: 'bind-address-absent',
  }
  const code = codes[codeOf(error) ?? ''] ?? 'listen-failed'
  const where = renderHostPort({ host, port })
  const holder = code === 'port-taken' ? await findPortHolder(port) : undefined
  const evidence = holder ? `${where} is held by pid ${holder.pid} (${holder.program})` : messageOf(error)
  status.set('failed', `cannot listen on ${where}`, describeHttpProblem(code, evidence))
}

/** The inherited socket where it is still the one that is configured, a new one otherwise. @throws what listen says */
async function listenOnce(server: Server, { name, host, port, fdStore }: PortPlace): Promise<void> {
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
