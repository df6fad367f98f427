// The end of an engine: drained where it was asked for, ended as its phase allows, and proved gone: no process, no GPU memory,
// no shared memory (D2).
import type { Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import { within } from '../core/abort.ts'
import type { Body } from '../core/body.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { until } from '../core/watch.ts'
import type { End, EngineDeps, EngineSpec } from './life.ts'
import { type MemoryEnd, untilMemoryFree } from './finish-memory.ts'
import { engineProblem } from './problems.ts'
import { findSegments, sweepSegments } from './shm.ts'
import type { Upstream } from './upstream.ts'

/** A loading vLLM loses SIGTERM, and took 11 s to honour SIGINT (facts/vllm.md 2.9). */
const longestLoadingPatience = 15_000
/** What is known to be hung has nothing to drain, and each second of it is one in which nothing is computed. */
const hungPatience = 5000

export type FinishParts = {
  body: Body
  spec: EngineSpec
  deps: EngineDeps
  clock: Clock
  upstream: Upstream
  problem: Signal<Problem | undefined>
  /** Aborted: do not drain (any more). */
  hurry: AbortSignal
  /** Aborted: its GPU memory is waited for no longer; by the next daemon. */
  letGo: AbortSignal
  leave: AbortSignal
}

export async function finish(parts: FinishParts, end: End, wasServing: boolean): Promise<MemoryEnd> {
  const { body, deps, clock, upstream, hurry } = parts
  if (end.why === 'asked' && wasServing) {
    const idle = until(upstream.idle, Boolean, within(deps.times.drain, hurry)).catch(() => {})
    await Promise.race([idle, body.exited])
  }
  const segments = await findSegments(await body.pids())
  await endBody(parts, wasServing, end.why === 'stuck' && end.problem.code === 'engine-hung')
  const life = { segments, from: Date.parse(body.record.launchedAt), to: clock.wall() }
  const swept = await sweepSegments(life).catch((error: unknown) => {
    deps.log.warn({ why: messageOf(error) }, 'shared memory not swept')
    return []
  })
  if (swept.length > 0) deps.log.info({ segments: swept }, 'removed shared memory of a dead engine')
  return untilMemoryFree(parts)
}

/** What survives SIGKILL is tried again for ever: as long as it lives, its GPUs are not free. */
async function endBody(
  { body, deps, clock, problem }: FinishParts,
  wasServing: boolean,
  isHung: boolean,
): Promise<void> {
  const patience = isHung ? Math.min(deps.times.stop, hungPatience) : deps.times.stop
  const gently = wasServing
    ? ({ signal: 'SIGTERM', patience } as const)
    : ({ signal: 'SIGINT', patience: Math.min(patience, longestLoadingPatience) } as const)
  for (let pause = 1000; ; pause = Math.min(30_000, pause * 2)) {
    try {
      await body.end(gently)
      if (problem.peek()?.code === 'engine-unkillable') problem.value = undefined
      return
    } catch (error) {
      problem.value = engineProblem('engine-unkillable', messageOf(error))
      deps.log.error({ life: body.id, why: messageOf(error) }, 'engine does not end')
      await clock.wait(pause)
    }
  }
}
