// Connections to the engines of launches: one pool per engine, until that is gone.
import { watch } from '../core/watch.ts'
import type { Upstream, UpstreamState } from '../engine/upstream.ts'
import { ConnectionPool } from '../proxy/connection-pool.ts'

export interface Pools {
  of(upstream: Upstream): ConnectionPool
  /** What still runs fails. */
  end(): void
}

export function createPools(): Pools {
  const pools = new Map<Upstream, { pool: ConnectionPool; over: AbortController }>()
  const open = (upstream: Upstream): ConnectionPool => {
    const pool = new ConnectionPool(upstream.port)
    const over = new AbortController()
    pools.set(upstream, { pool, over })
    const see = (state: UpstreamState) => {
      if (state !== 'gone') return
      pools.delete(upstream)
      pool.close()
      queueMicrotask(() => over.abort())
    }
    watch(upstream.state, see, over.signal)
    return pool
  }
  return {
    of: (upstream) => pools.get(upstream)?.pool ?? open(upstream),
    end() {
      for (const { pool, over } of pools.values()) {
        over.abort()
        pool.destroy(new Error('the gRPC server ends'))
      }
      pools.clear()
    },
  }
}
