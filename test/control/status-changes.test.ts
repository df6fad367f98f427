// What `gonka-node status --watch` is told, and when.
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { NodeStatus, Status } from '../../src/api/status.ts'
import { describeNode } from '../../src/control/socket-routes.ts'
import { silentLog } from '../../src/core/log.ts'
import { Machine } from '../../src/core/machine.ts'
import { watch } from '../../src/core/watch.ts'

test('who follows the status hears of changes that can be seen, and of no others', () => {
  const machine = new Machine(silentLog)
  const status = signal<Status>({ health: 'ok', summary: 'works', since: new Date(0) })
  machine.add({ name: 'fleet', status, end: async () => {} })
  const seen: NodeStatus[] = []
  const over = new AbortController()
  watch(describeNode({ machine, version: '1', startedAt: new Date(0) }), (node) => void seen.push(node), over.signal)
  status.value = { ...status.value, since: new Date(0) }
  expect(seen.map(({ summary }) => summary)).toEqual(['works'])
  status.value = { ...status.value, summary: 'works on' }
  status.value = { ...status.value, summary: 'works' }
  expect(seen.map(({ summary }) => summary)).toEqual(['works', 'works on', 'works'])
  over.abort()
})
