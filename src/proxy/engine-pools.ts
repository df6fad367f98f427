// Connections to engines: one pool per engine, closed when the engine is gone.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Pool } from 'undici'
import { createPool } from '../core/http-client.ts'
import { watch } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'

export interface EnginePools {
  of(upstream: Upstream): Pool
  end(): Promise<void>
}

const options = {
  pipelining: 1,
  // vLLM closes idle connections after 5 s: ours must go first, or a request meets a closing one (facts/vllm.md 2.2).
  keepAliveTimeout: 4000,
  keepAliveMaxTimeout: 4000,
  connect: { timeout: 3000 },
  // An answer that is not streamed may take long. Hangs are found by progress (D4), not by a clock here.
  headersTimeout: 3_600_000,
  bodyTimeout: 3_600_000,
}

export function createEnginePools(upstreams: ReadonlySignal<readonly Upstream[]>): EnginePools {
  const pools = new Map<Upstream, Pool>()
  const ended = new AbortController()
  watch(
    upstreams,
    (live) => {
      for (const [upstream, pool] of pools) {
        if (live.includes(upstream)) continue
        pools.delete(upstream)
        // What still runs there ends with the engine.
        void pool.close().catch(() => {})
      }
    },
    ended.signal,
  )
  return {
    of(upstream) {
      const found = pools.get(upstream)
      if (found) return found
      const pool = createPool(upstream.origin, options)
      pools.set(upstream, pool)
      return pool
    },
    async end() {
      ended.abort()
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
      pools.clear()
    },
  }
}
