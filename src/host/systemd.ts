// What systemd gave us and wants to hear: notify socket, watchdog, fd store, and whether a SIGTERM means restart or stop.
// Its variables are taken out of the environment, so that no child speaks for us (facts/systemd.md 3.1).
import { closeSync } from 'node:fs'
import { noFdStore, type FdStore } from '../core/fd-store.ts'
import type { Log } from '../core/log.ts'
import { messageOf } from '../core/errors.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { openNotify, type SendNotify } from './systemd-notify.ts'
import { parseJob, parseOwnUnit, readOwnCgroup } from './systemd-job.ts'

export interface Systemd {
  /** Started by systemd with a notify socket. */
  readonly active: boolean
  ready(): void
  /** One line for `systemctl status`; sent only when it changed. */
  status(line: string): void
  stopping(): void
  /** From now on a stop may take `bound` ms, whatever TimeoutStopSec= says: extended from the event loop, so a hung one is not. */
  extendStop(bound: number): void
  /** Feeds the watchdog from the event loop as long as `check` finds nothing wrong. Does nothing without WatchdogSec=. */
  feedWatchdog(check: () => string | undefined): void
  readonly fdStore: FdStore
  /** Asked on SIGTERM. In doubt restart: engines stay (facts/systemd.md 3.7). At most 1 s. */
  intentOfJob(): Promise<'restart' | 'stop'>
  /** Ends its timers. */
  end(): void
}

type Env = Record<string, string | undefined>
type Deps = {
  log: Log
  /** The process's own environment; the variables of systemd are deleted from it. */
  env?: Env
  send?: SendNotify
  systemctl?: string
  unit?: string
  /** ms between two extensions of a stop. */
  extendEvery?: number
}

const ours = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']

/** Loads libsystemd only where there is a notify socket; where that fails we run on and say so in the log. */
export async function startSystemd(deps: Deps): Promise<Systemd> {
  const { log, env = process.env } = deps
  const given = takeVariables(env)
  const send = deps.send ?? (await openSend(given['NOTIFY_SOCKET'], log))
  const watchdog =
    given['WATCHDOG_PID'] && Number(given['WATCHDOG_PID']) !== process.pid ? 0 : Number(given['WATCHDOG_USEC'] ?? 0)
  const timers: { watchdog?: NodeJS.Timeout; stop?: NodeJS.Timeout } = {}
  const told = { status: '' }
  return {
    active: send !== undefined,
    ready: () => send?.('READY=1'),
    stopping: () => send?.('STOPPING=1'),
    extendStop(bound) {
      if (!send) return
      clearInterval(timers.stop)
      const extend = createExtender(send, bound, deps.extendEvery ?? 10_000)
      extend()
      timers.stop = setInterval(extend, deps.extendEvery ?? 10_000).unref()
    },
    status(line) {
      const next = line.replaceAll(/\s+/g, ' ').trim().slice(0, 400)
      if (next === told.status) return
      told.status = next
      send?.(`STATUS=${next}`)
    },
    feedWatchdog(check) {
      if (!send || !(watchdog > 0)) return
      clearInterval(timers.watchdog)
      const feed = createFeeder(send, check, log)
      feed()
      timers.watchdog = setInterval(feed, Math.max(10, watchdog / 1000 / 3)).unref()
    },
    fdStore: send ? createFdStore(send, given, log) : noFdStore,
    intentOfJob: () => askJob(deps.systemctl ?? 'systemctl', deps.unit ?? parseOwnUnit(readOwnCgroup()), log),
    end() {
      clearInterval(timers.watchdog)
      clearInterval(timers.stop)
    },
  }
}

/** Reads and deletes: children inherit nothing of it. */
function takeVariables(env: Env): Env {
  const given: Env = {}
  for (const name of ours) {
    given[name] = env[name]
    delete env[name]
  }
  return given
}

async function openSend(socket: string | undefined, log: Log): Promise<SendNotify | undefined> {
  if (!socket) return undefined
  try {
    return await openNotify(socket)
  } catch (error) {
    log.error({ err: error, code: 'no-libsystemd' }, `systemd cannot be told how we are: ${messageOf(error)}`)
    return undefined
  }
}

/** A violated invariant starves the watchdog, and systemd restarts us; said once per reason. */
function createFeeder(send: SendNotify, check: () => string | undefined, log: Log): () => void {
  const last: { reason?: string } = {}
  return () => {
    const reason = checkSafely(check)
    if (reason === undefined) send('WATCHDOG=1')
    else if (reason !== last.reason) log.error({ reason }, 'the watchdog is not fed: an invariant is broken')
    if (reason === undefined) delete last.reason
    else last.reason = reason
  }
}

function checkSafely(check: () => string | undefined): string | undefined {
  try {
    return check()
  } catch (error) {
    return messageOf(error)
  }
}

/** Each one reaches over two that get lost, the last one no further than the bound; systemd ignores what shortens its own. */
function createExtender(send: SendNotify, bound: number, every: number): () => void {
  const over = performance.now() + bound
  return () => {
    const left = Math.min(3 * every, over - performance.now())
    if (left > 0) send(`EXTEND_TIMEOUT_USEC=${Math.ceil(left * 1000)}`)
  }
}

/** Descriptors start at 3, in the order of LISTEN_FDNAMES. */
function createFdStore(send: SendNotify, given: Env, log: Log): FdStore {
  const inherited = new Map<string, number>()
  if (Number(given['LISTEN_PID']) === process.pid) {
    const names = (given['LISTEN_FDNAMES'] ?? '').split(':')
    for (let at = 0; at < Number(given['LISTEN_FDS'] ?? 0); at += 1) inherited.set(names[at] ?? `fd${at}`, 3 + at)
  }
  return {
    take(name) {
      const fd = inherited.get(name)
      inherited.delete(name)
      return fd
    },
    keep(name, fd) {
      send(`FDSTORE=1\nFDNAME=${name}`, [fd])
    },
    forget(name) {
      const fd = inherited.get(name)
      inherited.delete(name)
      send(`FDSTOREREMOVE=1\nFDNAME=${name}`)
      if (fd === undefined) return
      try {
        closeSync(fd)
      } catch (error) {
        log.warn({ err: error, name }, 'an inherited socket could not be closed')
      }
    },
  }
}

async function askJob(systemctl: string, unit: string | undefined, log: Log): Promise<'restart' | 'stop'> {
  if (!unit) return 'restart'
  const outcome = await runProgram(systemctl, ['list-jobs', '--no-legend', '--no-pager'], {
    timeout: 1000,
    env: plainEnv,
  })
  if (outcome.kind === 'exited' && outcome.code === 0) return parseJob(outcome.stdout, unit)
  log.warn({ outcome: outcome.kind }, 'systemd did not say whether this is a stop: engines stay')
  return 'restart'
}
