import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { Health, Status } from '../../src/api/status.ts'
import type { Component } from '../../src/core/component.ts'
import { silentLog } from '../../src/core/log.ts'
import { Machine } from '../../src/core/machine.ts'

const problem = (code: string, dependsOn?: string) => ({
  code,
  title: code,
  evidence: '',
  remedy: '',
  ...(dependsOn && { dependsOn }),
})

function part(
  name: string,
  health: Health,
  options: { problem?: Status['problem']; end?: () => Promise<void> } = {},
): Component {
  const status: Status = {
    health,
    summary: `${name} is ${health}`,
    since: new Date(0),
    ...(options.problem && { problem: options.problem }),
  }
  return { name, status: signal(status), end: options.end ?? (async () => {}) }
}

test('the worst part decides, and a symptom does not hide its cause', () => {
  const machine = new Machine(silentLog)
  machine.add(part('fleet', 'ok'))
  machine.add(part('api-nodes', 'failed', { problem: problem('not-registered', 'token-refused') }))
  machine.add(part('tunnels', 'degraded', { problem: problem('token-refused') }))
  expect(machine.status.value.summary).toBe('tunnels is degraded')
})

test('when all is well the headline says what the node does, and a problem takes its place', () => {
  const machine = new Machine(silentLog, ['fleet', 'poc', 'api-nodes'])
  const tunnels = signal<Status>({ health: 'ok', summary: 'proved', since: new Date(0) })
  for (const name of ['config', 'fleet'] as const) machine.add(part(name, 'ok'))
  machine.add({ name: 'tunnels', status: tunnels, end: async () => {} })
  machine.add(part('poc', 'off'))
  machine.add(part('api-nodes', 'ok'))
  expect(machine.status.value.summary).toBe('fleet is ok; api-nodes is ok')
  tunnels.value = { ...tunnels.peek(), health: 'failed', summary: 'down' }
  expect(machine.status.value.summary).toBe('down')
})

test('parts end one after another, last added first, although one of them throws', async () => {
  const order: string[] = []
  const machine = new Machine(silentLog)
  const end = (name: string) => async () => void order.push(name)
  machine.add(part('listeners', 'ok', { end: end('listeners') }))
  machine.add(part('broken', 'ok', { end: () => Promise.reject(new Error('bug')) }))
  machine.add(part('fleet', 'ok', { end: end('fleet') }))
  await Promise.all([machine.end('stop'), machine.end('restart')])
  expect(order).toEqual(['fleet', 'listeners'])
})

test('a part that never ends is left behind after its time, and the others end', async () => {
  const order: string[] = []
  const machine = new Machine(silentLog)
  machine.add(part('listeners', 'ok', { end: async () => void order.push('listeners') }))
  machine.add({ ...part('frozen disk', 'ok', { end: () => new Promise(() => {}) }), endsWithin: 20 })
  expect(machine.endsWithin).toBe(15_020)
  await machine.end('stop')
  expect(order).toEqual(['listeners'])
})
