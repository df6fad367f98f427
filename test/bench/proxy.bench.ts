// The data path against a direct connection and nginx, in one run (issue section 10).
import { load, startPlaces } from './programs.ts'
import type { BenchRow } from './row.ts'

const connections = 32

export const rows: BenchRow[] = [
  {
    name: 'proxy: requests/s ÷ direct, 32 connections, 1 KB',
    unit: '',
    goal: { atLeast: 0.25 },
    async measure(context) {
      const { direct, proxy, nginx } = await startPlaces(context)
      const bare = await load({ port: direct, connections, seconds: 2 })
      const ours = await load({ port: proxy, connections, seconds: 3 })
      const theirs = nginx && (await load({ port: nginx, connections, seconds: 2 }))
      const compared = theirs ? { compared: theirs.perSecond / bare.perSecond } : {}
      return { value: ours.perSecond / bare.perSecond, ...compared }
    },
  },
  {
    name: 'proxy: added p50, 1 connection',
    unit: 'ms',
    goal: { atMost: 0.3 },
    async measure(context) {
      const { direct, proxy, nginx } = await startPlaces(context)
      const bare = await load({ port: direct, connections: 1, seconds: 1 })
      const ours = await load({ port: proxy, connections: 1, seconds: 2 })
      const theirs = nginx && (await load({ port: nginx, connections: 1, seconds: 1 }))
      return { value: ours.p50 - bare.p50, ...(theirs ? { compared: theirs.p50 - bare.p50 } : {}) }
    },
  },
  {
    name: 'proxy: CPU per streamed chunk, 50 streams, 20 ms apart',
    unit: 'µs',
    goal: { atMost: 35 },
    async measure(context) {
      const { proxy, usage } = await startPlaces(context)
      const stream = { port: proxy, connections: 50, requests: 50, path: '/v1/stream?n=150&ms=20' }
      // The first streams compile what the warm-up could not.
      await context.once('warm', () => load(stream))
      const before = await usage()
      const { chunks } = await load(stream)
      return { value: ((await usage()).cpu - before.cpu) / chunks }
    },
  },
  {
    name: 'proxy: RSS after 100,000 requests',
    unit: 'MB',
    goal: { atMost: 150 },
    async measure(context) {
      const { proxy, usage } = await startPlaces(context)
      const requests = 20_000
      await load({ port: proxy, connections, requests })
      return { value: (await usage()).rss / 1e6 }
    },
  },
]
