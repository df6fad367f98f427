// Connections to the engines of launches: one pool per engine, until that is gone.
import type { Pool } from 'undici'
import { createPool } from '../core/http-client.ts'
import { watch } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'

export interface Pools {
  of(upstream: Upstream): Pool
  end(): Promise<void>
}

const options = {
  pipelining: 1,
  // vLLM closes idle connections after 5 s: ours must go first, or a request meets a closing one (facts/vllm.md 2.2).
  keepAliveTimeout: 4000,
  keepAliveMaxTimeout: 4000,
  connect: { timeout: 3000 },
  // A long prompt in a long queue may take its time; what hangs is found by progress (D4), and ends the engine.
  headersTimeout: 3_600_000,
  bodyTimeout: 3_600_000,
}

export function createPools(): Pools {
  const pools = new Map<Upstream, { pool: Pool; over: AbortController }>()
  const open = (upstream: Upstream): Pool => {
    const pool = createPool(upstream.origin, options)
    const over = new AbortController()
    pools.set(upstream, { pool, over })
    const see = (state: string) => {
      if (state !== 'gone') return
      pools.delete(upstream)
      void pool.close().catch(() => {})
      queueMicrotask(() => over.abort())
    }
    watch(upstream.state, see, over.signal)
    return pool
  }
  return {
    of: (upstream) => pools.get(upstream)?.pool ?? open(upstream),
    async end() {
      const all = [...pools.values()]
      pools.clear()
      for (const { over } of all) over.abort()
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
  }
}
