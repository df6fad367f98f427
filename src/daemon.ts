// One run of the daemon: from the configuration to the exit status. main.ts knows the parts, this file why they end.
import { flushCompileCache } from 'node:module'
import { judgeGiven } from './config/judge.ts'
import { loadOrLastGood, runDirOf, type Startable } from './config/last-good.ts'
import { problemOf } from './config/config-part.ts'
import { renderFinding } from './config/finding.ts'
import type { Config } from './config/schema.ts'
import { pickPlaces } from './config/sources.ts'
import { within } from './core/abort.ts'
import { systemClock } from './core/clock.ts'
import { Refusal, messageOf } from './core/errors.ts'
import { createLog, type Log } from './core/log.ts'
import { createSecrets } from './core/secrets.ts'
import { until, watch } from './core/watch.ts'
import { askOnce, cameAfter, forgetAsked, readPrepared } from './host/prepared.ts'
import { pickStatePlace } from './host/spare-state.ts'
import { takeStateLock, waitForStateLock, type StateLock } from './host/state-lock.ts'
import { startSystemd, type Systemd } from './host/systemd.ts'
import { catchSignals, type Ending, type Signals, whenEnding } from './endings.ts'
import { openDoors } from './doors.ts'

/** sysexits.h */
const status = { ok: 0, bug: 70, busy: 75, configuration: 78 } as const

/** A notice that comes true within this time ends us; one that was taken back lets the node come up again. */
const leaveBound = 600_000

/** The boot is over, as far as it is ours. */
const keepCompiledAfter = 30_000

/** A port that is tried again and again must not fail the start: the node says what is wrong. */
const readyBound = 5000

/** A second daemon waits so long for the end of the first; less than TimeoutStartSec=. */
const secondBound = 60_000

/** @param say for a person at a terminal; everything else is a log line. @returns the exit status */
export async function runDaemon(say: (line: string) => void): Promise<number> {
  const signals = catchSignals()
  const places = pickPlaces(process.env)
  const loaded = await loadOrLastGood(places)
  const secrets = createSecrets()
  for (const secret of loaded.secrets) secrets.add(secret)
  const config = pickConfig(loaded)
  const journal = process.env['JOURNAL_STREAM'] !== undefined && process.env['INVOCATION_ID'] !== undefined
  const log = createLog({ level: config?.host.logLevel ?? 'info', secrets, journal })
  endOnBugs(log)
  const systemd = await startSystemd({ log: log.child({ part: 'systemd' }) })
  if (systemd.active && (await isOpenedLater(loaded))) {
    log.warn(
      {},
      'an env file came after `gonka-node prepare`, for root alone: starts again, so that it is opened to us',
    )
    return status.ok
  }
  if (!config) return refuseToStart(loaded, systemd, say)
  const lock = await lockState(config, { log, say, systemd, signals })
  if (lock === 'busy') return isAskedToEnd(signals) ? status.ok : status.busy
  tellFindings(loaded, log)
  const place = await pickStatePlace({ ...config.host, log: log.child({ part: 'state' }) })
  const settled = { ...config, host: { ...config.host, stateDir: place.folder } }
  const doors = await openDoors({ config, fdStore: systemd.fdStore, log })
  const { startNode } = await import('./main.ts')
  const node = await startNode({ loaded, config: settled, log, secrets, systemd, stateTrouble: place.trouble, doors })
  const abort = new AbortController()
  watch(node.machine.status, (now) => systemd.status(describe(now)), abort.signal)
  // Whoever waits for `systemctl start` may ask us at once.
  await until(node.settled, Boolean, within(readyBound)).catch(() => {})
  systemd.ready()
  systemd.feedWatchdog(() => node.checkAlive())
  void keepCompiled(abort.signal)
  const missedState = place.trouble === undefined ? undefined : config.host.stateDir
  const ending = await whenEnding({ node, loaded, signals, systemd, missedState, log, abort: abort.signal })
  abort.abort()
  log.info({ intent: ending.intent }, `ending: ${ending.why}`)
  // DRAIN_TIMEOUT and ENGINE_STOP_TIMEOUT may be longer than what TimeoutStopSec= leaves for them.
  systemd.extendStop(node.machine.endsWithin)
  // To systemd a stopping unit that does not end within its time hangs; who waits for the instance's end does not.
  if (ending.intent !== 'leave') systemd.stopping()
  systemd.status(`ending (${ending.intent}): ${ending.why}`)
  await node.machine.end(ending.intent)
  // Ended before the instance is: systemd would start us again at once.
  if (ending.intent === 'leave') {
    log.info({}, 'waits for the end of the instance')
    await whenStopped(signals)
  }
  await lock?.release()
  systemd.end()
  return finish(ending, systemd, log)
}

const isAskedToEnd = ({ SIGTERM, SIGINT }: Signals) => SIGTERM.peek() + SIGINT.peek() > 0

/**
 * Node writes at the end of a process what it compiled; one that is killed leaves nothing, and the next start takes three times as
 * long and 20 MB more. The first run of a release stands still for 0.1 s here, later ones for 1 ms.
 */
async function keepCompiled(abort: AbortSignal): Promise<void> {
  await systemClock.wait(keepCompiledAfter, abort)
  if (!abort.aborted) flushCompileCache()
}

/** Its own timer holds the process: nothing else does any more. */
async function whenStopped(signals: Signals): Promise<void> {
  const over = new AbortController()
  const late = systemClock.wait(leaveBound, over.signal)
  await Promise.race([until(signals.SIGTERM, (count) => count > 0, over.signal), late])
  over.abort()
}

/** With no file yet we serve status on loopback alone: whether tunnels will guard the open ports is not known. */
function pickConfig(loaded: Startable): Config | undefined {
  if (loaded.kind === 'ok' || loaded.kind === 'last-good') return loaded.config
  if (loaded.kind === 'bad') return undefined
  const bare = judgeGiven(loaded.given).config
  return bare && { ...bare, listeners: { ...bare.listeners, nodeBind: '127.0.0.1' } }
}

/** user-data may write the file between the privileged step and us. Once for each change: we go on with what there is then. */
async function isOpenedLater(loaded: Startable): Promise<boolean> {
  const runDir = runDirOf(loaded.given)
  if (loaded.kind === 'ok') await forgetAsked(runDir, 'open')
  const findings = loaded.kind === 'bad' || loaded.kind === 'last-good' ? loaded.problems : []
  const forbidden = findings.filter(({ code }) => code === 'config-forbidden').map(({ where }) => where)
  if (forbidden.length === 0) return false
  const isNews = await cameAfter(await readPrepared(runDir), forbidden, loaded.places.folder)
  return isNews && askOnce(runDir, 'open', loaded.fingerprint)
}

function refuseToStart(loaded: Startable, systemd: Systemd, say: (line: string) => void): number {
  const findings = loaded.kind === 'bad' ? loaded.problems : []
  say(`gonka-node: the configuration is wrong, and there is no earlier good one to run on:`)
  for (const one of findings) say(`  ${renderFinding(one)}`)
  systemd.status(`wrong configuration: ${findings[0] ? renderFinding(findings[0]) : problemOf(loaded)?.title}`)
  return status.configuration
}

type Around = { log: Log; say: (line: string) => void; systemd: Systemd; signals: Signals }

/** systemd would start us again every 500 ms: under it we wait ourselves. Anybody else is told at once. */
async function lockState(config: Config, around: Around): Promise<StateLock | 'busy' | undefined> {
  const { log, say, systemd } = around
  const { stateDir } = config.host
  try {
    return await (systemd.active ? lockPatiently(stateDir, around) : takeStateLock(stateDir))
  } catch (error) {
    if (error instanceof Refusal) {
      say(`gonka-node: ${messageOf(error)}; ${error.remedy}`)
      return 'busy'
    }
    log.error({ err: error }, 'the state folder cannot be locked: running without the lock')
    return undefined
  }
}

async function lockPatiently(stateDir: string, { log, systemd, signals }: Around): Promise<StateLock> {
  const over = new AbortController()
  const abort = within(secondBound, over.signal)
  const asked = [signals.SIGTERM, signals.SIGINT].map((signal) => until(signal, (count) => count > 0, abort))
  Promise.race(asked).then(
    () => over.abort(),
    () => {},
  )
  try {
    return await waitForStateLock(stateDir, {
      abort,
      tell(refused) {
        log.warn({ code: refused.code, bound: secondBound }, `waits: ${messageOf(refused)}; ${refused.remedy}`)
        systemd.status(`waits: ${messageOf(refused)}`)
      },
    })
  } finally {
    over.abort()
  }
}

function tellFindings(loaded: Startable, log: Log): void {
  for (const one of loaded.warnings) log.warn({ finding: renderFinding(one) }, 'configuration')
  if (loaded.kind === 'last-good')
    for (const one of loaded.problems)
      log.error({ finding: renderFinding(one) }, 'new configuration is bad: running on the last good one')
  if (loaded.kind === 'missing') log.warn({ path: loaded.path }, 'waiting for the env file')
}

const describe = (now: { health: string; summary: string }) => `${now.health}: ${now.summary}`

/** A bug ends the process for systemd to restart; engines and tunnels live on. */
function endOnBugs(log: Log): void {
  const die = (error: unknown) => {
    log.fatal({ err: error }, `bug: ${messageOf(error)}`)
    process.exit(status.bug)
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}

/** systemd starts the next one; without it we become the next one ourselves, same pid. */
function finish(ending: Ending, systemd: Systemd, log: Log): number {
  if (ending.intent !== 'restart' || systemd.active || !ending.again) return status.ok
  log.info({}, 'starting again')
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], process.env)
  return status.ok
}
