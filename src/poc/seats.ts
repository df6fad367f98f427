// One seat per engine that has PoC, for as long as the fleet lists it.
import type { ReadonlySignal } from '@preact/signals-core'
import { watch } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'
import { type Seat, type SeatDeps, startSeat } from './seat.ts'

export interface Seats {
  /** By slot. */
  all(): readonly Seat[]
  of(upstream: Upstream): Seat | undefined
}

export function startSeats(upstreams: ReadonlySignal<readonly Upstream[]>, deps: SeatDeps): Seats {
  const seats = new Map<Upstream, { seat: Seat; gone: AbortController }>()
  function follow(alive: readonly Upstream[]): void {
    for (const [upstream, { gone }] of seats) {
      if (alive.includes(upstream)) continue
      seats.delete(upstream)
      gone.abort()
    }
    for (const upstream of alive) {
      if (!upstream.hasPoc || seats.has(upstream)) continue
      const gone = new AbortController()
      const seat = startSeat(upstream, { ...deps, abort: AbortSignal.any([gone.signal, deps.abort]) })
      seats.set(upstream, { seat, gone })
    }
  }
  watch(upstreams, follow, deps.abort)
  return {
    all: () => [...seats.values()].map(({ seat }) => seat).sort((a, b) => a.upstream.slot - b.upstream.slot),
    of: (upstream) => seats.get(upstream)?.seat,
  }
}
