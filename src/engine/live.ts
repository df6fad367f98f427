// One engine life, launched or adopted, read from top to bottom and ended by one race; the first cause wins.
import type { Signal } from '@preact/signals-core'
import { whenAborted } from '../core/abort.ts'
import type { Body } from '../core/body.ts'
import type { MemoryEnd } from './finish-memory.ts'
import type { End, Phase } from './life.ts'

export type LiveParts = {
  phase: Signal<Phase>
  /** loading -> serving; ends as never-ready or stuck, with evidence. */
  serve(abort: AbortSignal): Promise<End>
  /** Until no process, no GPU memory and no segment of it is left; `left` where somebody else waits for the rest. */
  finish(end: End, wasServing: boolean): Promise<MemoryEnd>
}

/**
 *   launching --> loading --> serving
 *                    \           |
 *                     `--> ending --> gone
 * @throws a bug of `serve` or `finish`, which ends nothing: the engine runs on
 */
export async function live(body: Body, ask: { stop: AbortSignal; leave: AbortSignal }, parts: LiveParts): Promise<End> {
  const { phase } = parts
  const side = new AbortController()
  try {
    const end = await Promise.race<End>([
      body.exited.then((code) => ({ why: 'exited', code })),
      whenAborted(ask.stop, side.signal).then(() => ({ why: 'asked' })),
      whenAborted(ask.leave, side.signal).then(() => ({ why: 'left' })),
      parts.serve(side.signal),
    ])
    if (end.why === 'left') return end
    side.abort()
    const wasServing = phase.peek() === 'serving'
    phase.value = 'ending'
    if ((await parts.finish(end, wasServing)) === 'left') return { why: 'left' }
    phase.value = 'gone'
    return end
  } finally {
    side.abort()
  }
}
