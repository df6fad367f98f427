// Connections to engines for calls that read whole answers: one pool per engine, closed when the engine is gone.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Pool } from 'undici'
import { createPool } from '../core/http-client.ts'
import type { Upstream } from '../engine/upstream.ts'
import { createPerUpstream } from './per-upstream.ts'

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
  const pools = createPerUpstream(upstreams, {
    make: ({ origin }) => createPool(origin, options),
    close: (pool) => void pool.close().catch(() => {}),
  })
  return {
    of: (upstream) => pools.of(upstream),
    async end() {
      await Promise.all(pools.end().map((pool) => pool.destroy()))
    },
  }
}
