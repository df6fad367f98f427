// When callers need to wait no longer for the engines of the daemon before us: one of them serves again, or none will soon.
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import { isListening } from '../engine/readiness.ts'
import type { Phase } from '../engine/life.ts'
import { toGroup } from './wish.ts'

/** What of an engine this is about. */
export type Settling = { plan: { owner: string }; life: { phase: ReadonlySignal<Phase>; upstream: { port: number } } }

/**
 * ms. `loading`: nobody can be reached at an engine that loads, which takes minutes. `listening`: it has loaded, and answers as soon
 * as it and we get to it; on a machine that is overrun that takes longer.
 */
const usual = { loading: 2500, listening: 10_000 }

/** @param how.adopt finds them: `members` are complete then */
export function settle(
  how: { adopt: () => Promise<void>; members: ReadonlySignal<readonly Settling[]>; bounds?: typeof usual },
  abort: AbortSignal,
): ReadonlySignal<boolean> {
  const { adopt, members, bounds = usual } = how
  const settled = signal(false)
  const awaited = computed(() => pickAwaited(members.value))
  const serves = computed(() => awaited.value.some(({ life }) => life.phase.value === 'serving'))
  const served = (ms: number) => until(serves, Boolean, within(ms, abort))
  const look = async () => {
    await adopt()
    const found = awaited.peek()
    if (found.length === 0) return
    await served(bounds.loading).catch(() => {})
    if (!serves.peek() && (await someListens(found))) await served(bounds.listening)
  }
  void look()
    .catch(() => {})
    .then(() => void (settled.value = true))
  return settled
}

/** An idle engine of a launch answers at once: it says nothing of the node's own, which is busy and gets most of the requests. */
function pickAwaited(all: readonly Settling[]): readonly Settling[] {
  // One whose memory is all that is left serves nobody.
  const alive = all.filter(({ life }) => life.phase.peek() !== 'ending')
  const own = alive.filter(({ plan }) => toGroup(plan.owner) === 'node')
  return own.length > 0 ? own : alive
}

async function someListens(engines: readonly Settling[]): Promise<boolean> {
  const all = await Promise.all(engines.map(({ life }) => isListening(life.upstream.port)))
  return all.includes(true)
}
