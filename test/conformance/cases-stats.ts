// A1.7: GET /stats.
import assert from 'node:assert/strict'
import { systemStats } from '../../src/api/stats.ts'
import type { Case } from './case.ts'

export const statsCases: Case[] = [
  {
    of: 'A1.7',
    title: 'stats has every field, sums that fit, and GPUs by id; it never fails for lack of one',
    async run(target) {
      const { status, json } = await target.call('GET', '/stats')
      assert.equal(status, 200)
      const found = systemStats.strict().parse(json)
      assert.match(found.collected_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
      assert.equal(found.gpu_count, found.gpus.length)
      const ids = found.gpus.map(({ gpu_id }) => gpu_id)
      assert.deepEqual(
        ids,
        ids.toSorted((a, b) => a - b),
      )
      if (found.gpus.length === 0) assert.match(found.nvidia_smi_error ?? '', /nvidia-smi/)
      const { memory_total_bytes: total, memory_available_bytes: free, memory_used_bytes: used } = found
      if (total === null || free === null || used === null) assert.ok(found.host_memory_error)
      else {
        assert.equal(used, total - free)
        assert.ok(Math.abs((found.memory_utilization_percent ?? 0) - (used / total) * 100) < 0.01)
      }
    },
  },
]
