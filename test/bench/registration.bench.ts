// How a fleet of nodes comes back to an API node that was away.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureOutage } from './registration.ts'
import type { BenchRow } from './row.ts'

export const rows: readonly BenchRow[] = [
  {
    name: 'most requests at once after an API-node outage, 200 nodes',
    unit: '',
    goal: { atMost: 20 },
    async measure(context) {
      const root = await mkdtemp(join(tmpdir(), 'gonka-bench-'))
      try {
        const { peakAfterOutage, backAfterSeconds } = await measureOutage(root)
        context.log(`all are back after ${backAfterSeconds} s of their time`)
        return { value: peakAfterOutage }
      } finally {
        await rm(root, { recursive: true, force: true })
      }
    },
  },
]
