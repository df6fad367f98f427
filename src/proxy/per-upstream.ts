// What belongs to one engine, made when it is first wanted and closed when the engine is gone.
import type { ReadonlySignal } from '@preact/signals-core'
import { watch } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'

export interface PerUpstream<T> {
  of(upstream: Upstream): T
  /** Forgets all of them. @returns those that were open */
  end(): T[]
}

/** @param how.close what still runs there may go on: it ends with the engine */
export function createPerUpstream<T>(
  upstreams: ReadonlySignal<readonly Upstream[]>,
  how: { make: (upstream: Upstream) => T; close: (one: T) => void },
): PerUpstream<T> {
  const all = new Map<Upstream, T>()
  const ended = new AbortController()
  watch(
    upstreams,
    (live) => {
      for (const [upstream, one] of all) {
        if (live.includes(upstream)) continue
        all.delete(upstream)
        how.close(one)
      }
    },
    ended.signal,
  )
  return {
    of(upstream) {
      const found = all.get(upstream)
      if (found) return found
      const made = how.make(upstream)
      all.set(upstream, made)
      return made
    },
    end() {
      ended.abort()
      const open = [...all.values()]
      all.clear()
      return open
    },
  }
}
