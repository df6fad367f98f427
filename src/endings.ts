// Every way in which a run of the daemon ends, as one race; the first cause wins.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { renderFinding } from './config/finding.ts'
import { problemsOfNext, runDirOf, type Startable } from './config/last-good.ts'
import { type Loaded, loadConfig } from './config/load.ts'
import { type ConfigWatch, whenConfigChanged } from './config/watch-files.ts'
import type { Intent } from './core/intent.ts'
import type { Log } from './core/log.ts'
import { until } from './core/watch.ts'
import { askOnce } from './host/prepared.ts'
import { whenStateBack } from './host/spare-state.ts'
import type { Systemd } from './host/systemd.ts'
import type { GonkaNode } from './main.ts'

export type Ending = {
  intent: Intent
  why: string
  /** A restart that we want ourselves: without systemd nobody else would start the next one. */
  again: boolean
}

/** How often each signal came. Caught from the first moment on: a default action would leave half a boot behind. */
export type Signals = { readonly [N in 'SIGTERM' | 'SIGINT' | 'SIGHUP']: ReadonlySignal<number> }

export function catchSignals(): Signals {
  const count = (name: NodeJS.Signals) => {
    const came = signal(0)
    process.on(name, () => {
      came.value += 1
    })
    return came
  }
  return { SIGTERM: count('SIGTERM'), SIGINT: count('SIGINT'), SIGHUP: count('SIGHUP') }
}

type Context = {
  node: Pick<GonkaNode, 'notice' | 'needsHelper' | 'showConfig'>
  loaded: Startable
  signals: Signals
  systemd: Pick<Systemd, 'active' | 'intentOfJob'>
  /** The state folder, where the state is not there: it was full or read-only. */
  missedState?: string | undefined
  log: Log
  abort: AbortSignal
}

export async function whenEnding(context: Context): Promise<Ending> {
  const side = new AbortController()
  const inner = { ...context, abort: AbortSignal.any([context.abort, side.signal]) }
  try {
    return await Promise.race([
      whenTerminated(inner),
      whenInterrupted(inner),
      whenConfigured(inner),
      whenReclaimed(inner),
      whenHelperNeeded(inner),
      whenStateMovesBack(inner),
    ])
  } finally {
    side.abort()
  }
}

async function whenTerminated({ signals, systemd, abort }: Context): Promise<Ending> {
  await until(signals.SIGTERM, (count) => count > 0, abort).catch(never)
  if (!systemd.active) return { intent: 'stop', why: 'SIGTERM', again: false }
  const intent = await systemd.intentOfJob()
  return { intent, why: `systemd asked for a ${intent}`, again: false }
}

async function whenInterrupted({ signals, abort }: Context): Promise<Ending> {
  await until(signals.SIGINT, (count) => count > 0, abort).catch(never)
  return { intent: 'stop', why: 'SIGINT', again: false }
}

/** A changed configuration is tried first: a bad one, or none any more, is told and changes nothing. SIGHUP asks at once. */
async function whenConfigured(context: Context): Promise<Ending> {
  const { loaded, node, signals, abort, log } = context
  let { fingerprint } = loaded
  for (;;) {
    await whenAskedOrChanged({ ...loaded.places, fingerprint, abort }, signals.SIGHUP)
    if (abort.aborted) return never()
    const next = await loadConfig(loaded.places)
    if (next.kind === 'ok' && (next.fingerprint !== loaded.fingerprint || loaded.kind !== 'ok'))
      return { intent: 'restart', why: 'the configuration changed', again: true }
    // Only under systemd does anybody set the mode, and start us again.
    if (
      context.systemd.active &&
      next.kind === 'bad' &&
      next.problems.some((one) => one.code === 'config-forbidden') &&
      next.fingerprint !== fingerprint
    ) {
      // The next daemon knows these files, and asks no more for them.
      await askOnce(runDirOf(loaded.given), 'open', next.fingerprint)
      return {
        intent: 'restart',
        why: 'an env file cannot be read by us: `gonka-node prepare` sets its mode',
        again: true,
      }
    }
    node.showConfig(next.kind === 'ok' ? undefined : next)
    tellChanged(loaded, next, log)
    fingerprint = next.fingerprint
  }
}

/** Before the first configuration there is nothing to run on as before, and a file that is awaited is no error. */
function tellChanged(loaded: Startable, next: Loaded, log: Log): void {
  if (next.kind === 'ok') return
  const runs = 'config' in loaded
  if (next.kind === 'missing' && !runs) return
  const goesOn = runs
    ? 'changed configuration is bad: running on as before'
    : 'configuration is bad: waiting for a good one'
  for (const one of problemsOfNext(next)) log.error({ finding: renderFinding(one) }, goesOn)
}

async function whenAskedOrChanged(watch: ConfigWatch, hups: ReadonlySignal<number>): Promise<void> {
  const asked = new AbortController()
  const abort = AbortSignal.any([watch.abort, asked.signal])
  const before = hups.peek()
  await Promise.race([
    whenConfigChanged({ ...watch, abort }),
    until(hups, (count) => count > before, abort).catch(never),
  ])
  asked.abort()
}

async function whenReclaimed({ node, abort }: Context): Promise<Ending> {
  const notice = await until(node.notice, (one) => one?.urgency === 'leave', abort).catch(never)
  return { intent: 'leave', why: `the cloud takes this instance: ${notice?.action ?? ''}`, again: false }
}

/** A volume that appeared unmounted after our start needs the privileged helper, which runs before the next daemon. */
async function whenHelperNeeded({ node, systemd, abort }: Context): Promise<Ending> {
  if (!systemd.active) return never()
  await until(node.needsHelper, (needed) => needed, abort).catch(never)
  return { intent: 'restart', why: 'the model volume appeared: `gonka-node prepare` mounts it', again: true }
}

/** What we hold open lies in the spare folder: only the next daemon can move it, and finds everything else as it is. */
async function whenStateMovesBack({ missedState, abort }: Context): Promise<Ending> {
  if (missedState === undefined) return never()
  await whenStateBack(missedState, { abort })
  if (abort.aborted) return never()
  return { intent: 'restart', why: 'the state folder can be written again: its state moves back', again: true }
}

/** A way to end that did not happen. */
function never(): Promise<never> {
  return new Promise(() => {})
}
