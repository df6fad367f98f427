// From launched to serving, and on while it serves: progress out of the log, the deadline of a load, readiness, liveness.
import { computed, type Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import { isAbort } from '../core/abort.ts'
import type { Body } from '../core/body.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { readLastLines, tailLines } from '../core/log-file.ts'
import { listensNow } from '../core/own-listener.ts'
import { isHeldBy } from '../core/port-holder.ts'
import { readFirstChild } from '../core/proc.ts'
import type { EngineClient } from './client.ts'
import { diagnose } from './diagnose.ts'
import { whenStuck } from './hang-watch.ts'
import { whenLost } from './health-watch.ts'
import type { End, EngineDeps, EngineSpec, Phase, Progress } from './life.ts'
import { engineProblem } from './problems.ts'
import { whenReady } from './readiness.ts'
import { isAboutToListen, parseStage } from './stage.ts'
import type { Upstream } from './upstream.ts'

export type ServeParts = {
  body: Body
  spec: EngineSpec
  deps: EngineDeps
  clock: Clock
  client: EngineClient
  upstream: Upstream
  phase: Signal<Phase>
  progress: Signal<Progress>
  /** What it says is wrong with it while it serves (health-watch.ts). */
  unwell: Signal<Problem | undefined>
}

/** Rejects with the abort's reason; everything that it started has ended by then. */
export async function serve(parts: ServeParts, abort: AbortSignal): Promise<End> {
  const { spec, deps, client, upstream, phase, clock, unwell } = parts
  if (phase.peek() !== 'serving') {
    phase.value = 'loading'
    const problem = await load(parts, abort)
    if (problem) return { why: 'never-ready', problem: await explain(parts.body.logPath, problem) }
    // An abort that came together with readiness wins: the race is over.
    abort.throwIfAborted()
    phase.value = 'serving'
  }
  const watched = { client, upstream, profile: spec.profile, hasPoc: spec.hasPoc, grace: deps.times.hangGrace, clock }
  const lost = whenLost({ client, upstream, unwell, clock }, abort)
  const explained = lost.then((problem) => explain(parts.body.logPath, problem))
  return { why: 'stuck', problem: await Promise.race([whenStuck(watched, abort), explained]) }
}

async function load(parts: ServeParts, abort: AbortSignal): Promise<Problem | undefined> {
  const { spec, deps, client, clock, body, progress } = parts
  const loaded = new AbortController()
  const side = AbortSignal.any([abort, loaded.signal])
  const seen = { at: clock.now(), lines: new Set<string>() }
  const soon = computed(() => isAboutToListen(progress.value))
  const isOurs = () => isListenerOf(body, spec.port)
  // Without its log an engine loads all the same; only its stages stay unknown.
  const following = follow(body.logPath, { progress, seen, clock }, side).catch((error: unknown) =>
    deps.log.warn({ path: body.logPath, why: messageOf(error) }, 'log of an engine cannot be followed'),
  )
  try {
    return await Promise.race([
      whenReady(client, { model: spec.model, port: spec.port, hasPoc: spec.hasPoc }, side, { clock, soon, isOurs }),
      whenStalled(seen, deps.times.start, { clock, progress }, side),
    ])
  } finally {
    loaded.abort()
    await following
  }
}

/** The program itself first, which nearly always listens: a look at every process of the machine takes 50 ms. */
async function isListenerOf(body: Body, port: number): Promise<boolean | undefined> {
  const keeper = body.record.pid
  const program = keeper === undefined ? undefined : readFirstChild(keeper)
  if (program !== undefined && listensNow(program, port)) return true
  return isHeldBy(port, await body.pids())
}

type Seen = { at: number; lines: Set<string> }

/** Progress is a new stage or percentage, or a line that was not seen before but for its numbers: a loop of warnings is none. */
async function follow(
  path: string,
  { progress, seen, clock }: { progress: Signal<Progress>; seen: Seen; clock: Clock },
  abort: AbortSignal,
): Promise<void> {
  for await (const { text } of tailLines(path, 0, abort, clock)) {
    const stage = parseStage(text)
    const old = progress.peek()
    const moved = stage !== undefined && (stage.stage !== old.stage || stage.percent !== old.percent)
    if (moved) progress.value = stage
    const shape = text.slice(0, 300).replaceAll(/\d+/g, '#')
    if (moved || (!seen.lines.has(shape) && seen.lines.size < 5000)) seen.at = clock.now()
    if (seen.lines.size < 5000) seen.lines.add(shape)
  }
}

async function whenStalled(
  seen: Seen,
  limit: number,
  { clock, progress }: { clock: Clock; progress: Signal<Progress> },
  abort: AbortSignal,
): Promise<Problem> {
  for (;;) {
    const left = seen.at + limit - clock.now()
    if (left <= 0) {
      const stage = progress.peek().stage ?? 'nothing printed yet'
      return engineProblem('engine-load-stalled', `no progress for ${Math.round(limit / 1000)} s; last stage: ${stage}`)
    }
    await clock.wait(left, abort)
    abort.throwIfAborted()
  }
}

/** What its log says is the cause, what we saw the symptom. */
async function explain(logPath: string, seen: Problem): Promise<Problem> {
  const { problem } = diagnose(await readLastLines(logPath, 2000), undefined)
  if (problem.code === 'engine-exited') return seen
  return { ...problem, evidence: `${problem.evidence} (${seen.title}: ${seen.evidence})` }
}

/** For races: a side task that was aborted never settles the race by its rejection. */
export function quietly(task: Promise<End>): Promise<End> {
  return task.catch((error: unknown) => (isAbort(error) ? new Promise<End>(() => {}) : Promise.reject(error as Error)))
}
