// Runs a body again and again until aborted. The boundary where bugs stop: logged with their stack, never fatal to others.
import type { ReadonlySignal } from '@preact/signals-core'
import { isAbort, onAbort } from './abort.ts'
import { type BackoffPolicy, defaultBackoff, judgeBackoff } from './backoff.ts'
import { type Clock, systemClock, waitTogether } from './clock.ts'
import type { Log } from './log.ts'
import { watch } from './watch.ts'

export type LoopOptions = {
  log: Log
  abort: AbortSignal
  /** Wait after a body that returned, ms; a function is asked after each. Jittered like the backoff; from 1 s on shared with other loops. */
  every: number | (() => number)
  backoff?: BackoffPolicy
  /** Any change of it runs the body again at once (also one that came while the body ran). */
  wake?: ReadonlySignal<unknown>
  clock?: Clock
  random?: () => number
}

/** Starts the loop and returns at once; `ended` resolves after abort, when the last body has returned. Never rejects. */
export function startLoop(
  name: string,
  body: (abort: AbortSignal) => Promise<void>,
  options: LoopOptions,
): { ended: Promise<void> } {
  return { ended: run(name, body, options) }
}

async function run(name: string, body: (abort: AbortSignal) => Promise<void>, options: LoopOptions): Promise<void> {
  const { log, abort, every, backoff = defaultBackoff, clock = systemClock, random = Math.random } = options
  const alarm = startAlarm(options.wake, abort)
  let failures = 0
  while (!abort.aborted) {
    const began = clock.now()
    const failed = await body(abort).then(
      () => false,
      (error: unknown) => {
        if (abort.aborted && isAbort(error)) return false
        log.error({ err: error, loop: name }, 'loop body failed')
        return true
      },
    )
    if (!failed || clock.now() - began >= backoff.stable) failures = 0
    if (failed) failures += 1
    const pace = typeof every === 'number' ? every : every()
    const wait = failed
      ? judgeBackoff(backoff, failures, random())
      : judgeBackoff({ ...backoff, first: pace, cap: pace }, 1, random())
    await alarm.wait((signal) => waitTogether(clock, wait, signal))
  }
}

/** A wake that comes while the body runs is kept: the next wait ends at once. */
function startAlarm(wake: ReadonlySignal<unknown> | undefined, abort: AbortSignal) {
  let nap = new AbortController()
  let rung = false
  let first = true
  if (wake) {
    const ring = () => {
      if (!first) {
        rung = true
        nap.abort()
      }
      first = false
    }
    watch(wake, ring, abort)
  }
  return {
    async wait(sleep: (signal: AbortSignal) => Promise<void>): Promise<void> {
      if (!rung && !abort.aborted) {
        nap = new AbortController()
        const forget = onAbort(abort, () => nap.abort())
        await sleep(nap.signal)
        forget()
      }
      rung = false
    },
  }
}
