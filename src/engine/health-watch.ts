// Looks at an engine at once when a request failed there: one whose core died answers 503 for 5 s until its process is gone
// (facts/vllm.md 2.9), and is out of rotation from the first look on. Its own word alone counts, never silence (D4).
import type { Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { until } from '../core/watch.ts'
import type { EngineClient } from './client.ts'
import { engineProblem } from './problems.ts'
import type { Upstream } from './upstream.ts'

export type HealthWatch = {
  client: EngineClient
  upstream: Upstream
  /** What it says is wrong with it, while it does. Written here alone. */
  unwell: Signal<Problem | undefined>
  clock: Clock
  /** ms; see `patience`. */
  patience?: number
}

/** One failure is looked into so often: what broke the request may show in /health a moment later. */
const looks = 5
/** Between looks, ms: however many requests fail, an engine is asked five times a second. */
const pause = 200
/** Of one look, ms. Too late is no answer, which says nothing. */
const bound = 5000
/** An engine that does not prove healthy for so long is ended, ms: vLLM itself ends within 5 s. */
const patience = 30_000

/** Never resolves while all is well, or will be. Rejects with the abort's reason. */
export async function whenLost(watch: HealthWatch, abort: AbortSignal): Promise<Problem> {
  const { upstream, unwell } = watch
  unwell.value = undefined
  let seen = upstream.doubts.peek()
  for (;;) {
    seen = await until(upstream.doubts, (count) => count !== seen, abort)
    const found = await lookInto(watch, abort)
    if (!found) continue
    unwell.value = found
    if (!(await provesHealthy(watch, abort))) return unwell.peek() ?? found
    unwell.value = undefined
  }
}

async function lookInto(watch: HealthWatch, abort: AbortSignal): Promise<Problem | undefined> {
  for (let at = 0; at < looks; at += 1) {
    const found = await look(watch, abort)
    if (typeof found !== 'string') return found
    await watch.clock.wait(pause, abort)
    abort.throwIfAborted()
  }
  return undefined
}

async function provesHealthy(watch: HealthWatch, abort: AbortSignal): Promise<boolean> {
  const { clock } = watch
  const end = clock.now() + (watch.patience ?? patience)
  while (clock.now() < end) {
    await clock.wait(pause, abort)
    abort.throwIfAborted()
    const found = await look(watch, abort)
    if (found === 'well') return true
  }
  return false
}

async function look({ client }: HealthWatch, abort: AbortSignal): Promise<'well' | 'silent' | Problem> {
  const answer = await client.health({ timeout: bound, abort })
  abort.throwIfAborted()
  if (answer.kind === 'refused') return engineProblem('engine-refuses', `${client.origin} refuses connections`)
  if (answer.kind === 'silent') return 'silent'
  // Some versions let check_health() raise: that is their 503 (facts/vllm.md 2.3).
  if (answer.status === 503 || answer.status === 500)
    return engineProblem('engine-unhealthy', `GET /health answered ${answer.status}`)
  return answer.status === 200 ? 'well' : 'silent'
}
