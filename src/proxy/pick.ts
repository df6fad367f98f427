// Which engine takes a request. Pure.
import type { Upstream } from '../engine/upstream.ts'

/** The least busy serving engine; `turn` shares out equals, so that idle engines take requests in turn. */
export function pickUpstream(upstreams: readonly Upstream[], turn: number, except?: Upstream): Upstream | undefined {
  let best: Upstream | undefined
  for (let at = 0; at < upstreams.length; at += 1) {
    const one = upstreams[(turn + at) % upstreams.length]
    if (!one || one === except || one.state.peek() !== 'serving') continue
    if (!best || one.inFlight < best.inFlight) best = one
  }
  return best
}
