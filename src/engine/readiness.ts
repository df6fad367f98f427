// Knows when an engine serves: /health is 200, /v1/models names the model, PoC answers where the profile has it. A refused
// connection costs the engine nothing, so it is tried often; once something answers, slowness makes the asking slower.
import { connect } from 'node:net'
import type { ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { watch } from '../core/watch.ts'
import type { Answer, EngineClient } from './client.ts'
import { engineProblem } from './problems.ts'

export type Expected = { model: string; port: number; hasPoc: boolean }

/**
 * While nobody listens: half of it is the median delay where the log says nothing. An attempt costs 0.6 ms of our CPU, so long
 * loads, which are those of real engines with their log, are asked less often.
 */
const refusedPause = { first: 12, later: 30, after: 60_000 }
/** Once the log says that it is about to listen, and for how long that is believed. */
const soonPause = 4
const soonFor = 5000
const slowestPause = 500
/** A listening engine that stays wrong for so long will not become right: it was started up before it listened. */
const wrongFor = { 'engine-unhealthy': 60_000, 'engine-wrong-model': 5000, 'engine-poc-missing': 10_000 }

type Wrong = { code: keyof typeof wrongFor; evidence: string }

export type ReadyOptions = {
  clock?: Clock
  /** True once its log says that it is about to listen. */
  soon?: ReadonlySignal<boolean>
  /** Whether the listener is the engine itself. False: an engine of somebody else answers at its port, and it will soon say so. */
  isOurs?: () => Promise<boolean | undefined>
}

/** Resolves when it serves (undefined), or is known never to. Rejects with the abort's reason; the caller brings the bound. */
export async function whenReady(
  client: EngineClient,
  expected: Expected,
  abort: AbortSignal,
  options: ReadyOptions = {},
): Promise<Problem | undefined> {
  const clock = options.clock ?? systemClock
  const nap = startNap(options.soon, clock, abort)
  let wrong: (Wrong & { since: number }) | undefined
  let pause = 0
  for (;;) {
    abort.throwIfAborted()
    if (!(await isListening(expected.port))) {
      wrong = undefined
      pause = 0
      await nap()
      continue
    }
    const began = clock.now()
    const [found, ours] = await Promise.all([askAll(client, expected, abort), options.isOurs?.()])
    if (found === undefined && ours !== false) return undefined
    if (found !== undefined && found !== 'busy') {
      if (wrong?.code !== found.code) wrong = { ...found, since: clock.now() }
      else if (clock.now() - wrong.since > wrongFor[found.code]) return engineProblem(found.code, found.evidence)
    }
    // Never more than a fifth of its time goes into answering us.
    pause = Math.min(slowestPause, Math.max(10, pause * 1.3, (clock.now() - began) * 4))
    await clock.wait(pause, abort)
  }
}

function startNap(soon: ReadonlySignal<boolean> | undefined, clock: Clock, abort: AbortSignal): () => Promise<void> {
  const bell = new AbortController()
  let until = 0
  const ring = () => {
    until = clock.now() + soonFor
    bell.abort()
  }
  if (soon) watch(soon, (is) => is && ring(), abort)
  const either = AbortSignal.any([abort, bell.signal])
  const began = clock.now()
  return () => {
    if (clock.now() < until) return clock.wait(soonPause, abort)
    const pause = clock.now() - began < refusedPause.after ? refusedPause.first : refusedPause.later
    return clock.wait(pause, bell.signal.aborted ? abort : either)
  }
}

/** Undefined: all is well. busy: no answer in time, which says nothing. */
async function askAll(
  client: EngineClient,
  expected: Expected,
  abort: AbortSignal,
): Promise<Wrong | 'busy' | undefined> {
  const options = { timeout: 5000, abort }
  const [health, models, poc] = await Promise.all([
    client.health(options),
    client.models(options),
    expected.hasPoc ? client.pocStatus(options) : undefined,
  ])
  if (health.kind !== 'answer' || models.kind !== 'answer' || (poc && poc.kind !== 'answer')) return 'busy'
  if (health.status !== 200) return { code: 'engine-unhealthy', evidence: `GET /health: ${describeAnswer(health)}` }
  const names = toModelNames(models.body)
  if (!names.includes(expected.model))
    return { code: 'engine-wrong-model', evidence: `/v1/models: ${names.join(', ')}; expected ${expected.model}` }
  if (poc && (poc.status !== 200 || toPocStatus(poc.body) === undefined))
    return { code: 'engine-poc-missing', evidence: `GET /api/v1/pow/status: ${describeAnswer(poc)}` }
  return undefined
}

export function toModelNames(body: unknown): string[] {
  const list = (body as { data?: unknown } | undefined)?.data
  if (!Array.isArray(list)) return []
  return list.map((one) => (one as { id?: unknown } | null)?.id).filter((id) => typeof id === 'string')
}

/** `IDLE`, `GENERATING`, `STOPPED`, …; undefined where it is no PoC status. */
export function toPocStatus(body: unknown): string | undefined {
  const status = (body as { status?: unknown } | undefined | null)?.status
  return typeof status === 'string' ? status : undefined
}

function describeAnswer(answer: Extract<Answer, { kind: 'answer' }>): string {
  return `${answer.status} ${answer.text.slice(0, 200).replaceAll(/\s+/g, ' ')}`.trim()
}

/** A bare connect: no request, no log line in the engine, nothing at all while the port refuses. Also true where it does not answer. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const done = (listening: boolean) => {
      socket.destroy()
      resolve(listening)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
    // A full backlog does not answer: that is a listener too.
    socket.setTimeout(1000, () => done(true))
  })
}
