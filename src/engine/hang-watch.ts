// Looks at a serving engine every few seconds and ends with the problem once it is hung or refuses.
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'
import { type Clock, systemClock, waitTogether } from '../core/clock.ts'
import type { EngineClient } from './client.ts'
import { type HangSample, isIdle, judgeHang, newHangState, parseCounters } from './hang.ts'
import { engineProblem } from './problems.ts'
import { isListening } from './readiness.ts'
import type { Upstream } from './upstream.ts'

export type HangWatch = {
  client: EngineClient
  upstream: Upstream
  profile: ProfileName
  hasPoc: boolean
  /** ms; 0 = off, only a refused connection is then seen, by the exit. */
  grace: number
  clock?: Clock
}

/** Between looks: short enough to give three strikes soon after the grace, long enough to be no load. */
const lookEvery = (grace: number): number => Math.max(50, Math.min(10_000, grace / 8))
/** So many looks at an engine that was seen idle, and got nothing to do since, only see that it listens: its metrics are 100 KB. */
const quietLooks = 2
/** An engine whose core died closes its port a second before it exits: its own exit says more. */
const exitFirst = 3000

/** Never resolves while all is well. Rejects with the abort's reason. */
export async function whenStuck(watch: HangWatch, abort: AbortSignal): Promise<Problem> {
  const clock = watch.clock ?? systemClock
  const { upstream } = watch
  let state = newHangState(clock.now())
  let quiet = { looks: 0, begun: 0 }
  for (;;) {
    await waitTogether(clock, lookEvery(watch.grace || 80_000), abort)
    abort.throwIfAborted()
    const { begun } = upstream
    if (quiet.looks > 0 && quiet.begun === begun && (await isListening(upstream.port))) {
      quiet = { looks: quiet.looks - 1, begun }
      state = { ...state, aliveAt: clock.now() }
      continue
    }
    const sample = await takeSample(watch, clock, abort)
    quiet = { looks: isIdle(sample) ? quietLooks : 0, begun }
    const judged = judgeHang(state, sample, watch)
    state = judged.state
    if (judged.verdict.kind === 'hung') {
      const lives = judged.verdict.gaugesIdle && (await answersWork(watch, abort))
      if (!lives) return engineProblem('engine-hung', judged.verdict.evidence)
      state = { ...state, aliveAt: clock.now(), strikes: 0 }
    }
    // Also where nobody judges hangs: no request goes there meanwhile.
    if (sample.refused) upstream.doubt()
    if (judged.verdict.kind !== 'refused') continue
    await clock.wait(exitFirst, abort)
    abort.throwIfAborted()
    if ((await watch.client.health({ timeout: 5000, abort })).kind === 'refused')
      return engineProblem('engine-refuses', `${watch.client.origin} refuses connections`)
  }
}

/** A client of ours that reads slowly keeps a request open on an idle engine; a wedged engine answers nothing. */
async function answersWork({ client, upstream, grace }: HangWatch, abort: AbortSignal): Promise<boolean> {
  return (await client.completeOne(upstream.model, { timeout: Math.min(grace, 60_000), abort })).kind === 'answer'
}

async function takeSample(
  { client, upstream, hasPoc }: HangWatch,
  clock: Clock,
  abort: AbortSignal,
): Promise<HangSample> {
  const [metrics, poc] = await Promise.all([
    client.metrics({ abort }),
    hasPoc ? client.pocStatus({ abort }) : undefined,
  ])
  const good = metrics.kind === 'answer' && metrics.status === 200
  return {
    at: clock.now(),
    refused: metrics.kind === 'refused',
    metrics: good ? parseCounters(metrics.text) : {},
    poc: poc?.kind === 'answer' && poc.status === 200 ? toPocProgress(poc.body) : undefined,
    inFlight: upstream.inFlight,
    progressAt: upstream.progressAt,
  }
}

function toPocProgress(body: unknown): HangSample['poc'] {
  const { status, stats } = (body ?? {}) as { status?: unknown; stats?: { total_processed?: unknown } | null }
  const processed = stats?.total_processed
  return { generating: status === 'GENERATING', ...(typeof processed === 'number' && { processed }) }
}
