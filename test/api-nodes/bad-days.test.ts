// Every way in which an API node can misbehave, against the rehearsal's.
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { TunnelState } from '../../src/api-nodes/api-nodes.ts'
import { namedFaults } from '../../src/rehearsal/api-node-faults.ts'
import { eventually } from '../support/eventually.ts'
import { gets, posts, quick, rehearse, startPart, toEntry } from './support.ts'

const passing: [fault: string, code: string][] = [
  ['hang', 'api-node-silent'],
  ['500', 'api-node-failing'],
  ['garbage', 'api-node-garbage'],
  ['html', 'api-node-garbage'],
  ['refuse', 'api-node-unreachable'],
]

test.each(passing)('an API node that plays %s is a problem (%s) that passes with it', async (fault, code) => {
  const node = await rehearse({ faults: [namedFaults[fault] ?? { kind: 'hang' }] })
  const { part, view } = await startPart([node])
  await eventually(`problem ${code}`, () => view()?.problem?.code === code)
  expect(view()?.phase).toBe('unreachable')
  expect(part.status.value).toMatchObject({ health: 'degraded', problem: { code } })
  node.world.faults.set([])
  await eventually('registered', () => view()?.phase === 'registered')
  expect(view()?.problem).toBeUndefined()
})

const lasting: [fault: string, code: string, evidence: string][] = [
  ['redirect', 'api-node-redirects', 'answered 307 to http://127.0.0.1:1/elsewhere'],
  ['206', 'registration-partial', 'answered 206: node[0] (id: x): rehearsed'],
  ['400', 'registration-refused', 'answered 400: failed to create node: rehearsed'],
  ['400-text', 'registration-refused', 'answered 400: bad request'],
  ['400-nested', 'registration-refused', 'all nodes failed validation: node[0] (id: x): rehearsed'],
  ['500-validation', 'registration-refused', 'validation failed: max_concurrent must be greater than 0, got 0'],
]

test.each(lasting)('an answer like %s is final (%s) and is not hammered', async (fault, code, evidence) => {
  const node = await rehearse({ faults: [namedFaults[fault] ?? { kind: 'hang' }] })
  const { part, view } = await startPart([node])
  await eventually(`problem ${code}`, () => view()?.problem?.code === code)
  expect(view()?.problem?.evidence).toContain(evidence)
  expect(view()?.phase).toBe('refused')
  const before = node.world.calls.length
  // Three times as long as the longest retry of a passing trouble.
  await new Promise((resolve) => setTimeout(resolve, 3 * quick.retryCap))
  expect(node.world.calls.length).toBe(before)
  expect(part.status.value.health).toBe('failed')
})

test('a refusal is asked about again, slowly, and passes when governance changes', async () => {
  const node = await rehearse({ governance: { 'another/model': [] } })
  const { view } = await startPart([node], { timing: { ...quick, refusedFrom: 60, refusedTo: 80 } })
  await eventually('refused', () => view()?.problem?.code === 'model-not-governed')
  node.world.options.governance = undefined
  await eventually('registered', () => view()?.phase === 'registered')
})

test('host and port of another node are said to be taken, with the remedy', async () => {
  const node = await rehearse()
  node.world.nodes.set('0041', toEntry({ id: '0041' }))
  const { view } = await startPart([node])
  await eventually('refused', () => view()?.problem?.code === 'address-taken')
  expect(view()?.problem?.evidence).toContain("frps:10042 (already used by node '0041')")
})

test('a reserved argument is named', async () => {
  const node = await rehearse()
  const facts = { model: 'm', args: ['--revision', 'abc'], tunnelled: true, ports: { inference: 1, node: 2 } }
  const { view } = await startPart([node], { facts })
  await eventually('refused', () => view()?.problem?.code === 'arguments-reserved')
  expect(view()?.problem?.evidence).toContain('--revision')
})

test('an address that is no admin API is said to be none', async () => {
  const node = await rehearse()
  const { view } = await startPart([{ adminPort: node.callbackPort }])
  await eventually('refused', () => view()?.problem?.code === 'api-node-no-admin')
})

test('an API node that goes away later leaves us registered, degraded, and well again when it is back', async () => {
  const node = await rehearse()
  const { part, view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  await node.away()
  await eventually('a problem', () => view()?.problem?.code === 'api-node-unreachable')
  expect(view()?.phase).toBe('registered')
  expect(part.status.value.health).toBe('degraded')
  await node.comeBack()
  await eventually('well again', () => part.status.value.health === 'ok')
  expect(posts(node)).toHaveLength(1)
})

test('a slow API node is waited for', async () => {
  const node = await rehearse({ faults: [{ kind: 'slow', delayMs: 150 }] })
  const { view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
})

test('a tunnel that comes back is followed by a look at the record', async () => {
  const node = await rehearse()
  const tunnel = signal<TunnelState>('up')
  const timing = { ...quick, verifyEvery: 600_000 }
  const { view } = await startPart([node], { tunnelFor: () => tunnel, timing })
  await eventually('registered', () => view()?.phase === 'registered')
  node.world.nodes.clear()
  tunnel.value = 'waiting'
  tunnel.value = 'up'
  await eventually('registered again', () => node.world.nodes.has('0042'))
})

test('a node that the broker sees as failed while an engine serves is told so, with its reason', async () => {
  const node = await rehearse()
  const tunnel = signal<TunnelState>('up')
  const { part, serving, view } = await startPart([node], { tunnelFor: () => tunnel })
  await eventually('registered', () => view()?.phase === 'registered')
  const state = node.world.nodes.get('0042')?.state
  Object.assign(state ?? {}, { current_status: 'FAILED', failure_reason: 'health answered 502' })
  await eventually('a problem', () => view()?.problem?.code === 'node-seen-failed')
  expect(view()?.problem?.evidence).toContain('health answered 502')
  expect(part.status.value.health).toBe('degraded')
  // Without an engine or a tunnel it is only a symptom, and what was said before counts for nothing afterwards.
  const looks = () => node.world.calls.filter(({ method }) => method === 'GET').length
  for (const [spoil, mend] of [
    [() => (serving.value = false), () => (serving.value = true)],
    [() => (tunnel.value = 'waiting'), () => (tunnel.value = 'up')],
  ] as const) {
    spoil()
    expect(view()?.problem).toBeUndefined()
    const before = looks()
    await eventually('it looks three times more', () => looks() >= before + 3)
    expect(view()?.problem).toBeUndefined()
    mend()
    await eventually('the problem again', () => view()?.problem?.code === 'node-seen-failed')
  }
})

test('a node that an operator disabled stays disabled, and says so', async () => {
  const node = await rehearse()
  node.world.nodes.set('0042', toEntry({}, { admin_state: { enabled: false, epoch: 1 } }))
  const { view } = await startPart([node])
  await eventually('a problem', () => view()?.problem?.code === 'registration-disabled')
  expect(posts(node, '/admin/v1/nodes/0042/enable')).toEqual([])
})

test('ending cuts a request that hangs', async () => {
  const node = await rehearse({ faults: [{ kind: 'hang' }] })
  const { part } = await startPart([node], { timing: { ...quick, listTimeout: 60_000 } })
  await eventually('a request hangs', () => gets(node).length === 1)
  const began = performance.now()
  await part.end('stop')
  expect(performance.now() - began).toBeLessThan(5_000)
  await eventually('the request is gone', () => node.world.inFlight === 0)
})

test('a tunnel that comes and goes does not repeat what was refused', async () => {
  const node = await rehearse({ governance: { 'another/model': [] } })
  const tunnel = signal<TunnelState>('up')
  const { view } = await startPart([node], { tunnelFor: () => tunnel })
  await eventually('refused', () => view()?.phase === 'refused')
  for (const state of ['waiting', 'up', 'waiting', 'up'] as const) tunnel.value = state
  await new Promise((resolve) => setTimeout(resolve, 4 * quick.tunnelSpread))
  expect(posts(node)).toHaveLength(1)
  expect(view()?.phase).toBe('refused')
})

test('nor does one that goes while the API node still thinks, and comes back after it refused', async () => {
  const slow = { kind: 'slow', method: 'POST', delayMs: 400 } as const
  const node = await rehearse({ governance: { 'another/model': [] }, faults: [slow] })
  const tunnel = signal<TunnelState>('up')
  const { view } = await startPart([node], { tunnelFor: () => tunnel, timing: { ...quick, postTimeout: 10_000 } })
  await eventually('it is asked', () => posts(node).length === 1)
  tunnel.value = 'waiting'
  await eventually('it refuses', () => view()?.problem?.code === 'model-not-governed')
  tunnel.value = 'up'
  await new Promise((resolve) => setTimeout(resolve, 10 * quick.tunnelSpread))
  expect(posts(node)).toHaveLength(1)
  expect(view()).toMatchObject({ phase: 'refused', problem: { code: 'model-not-governed' } })
})

test('a name that does not resolve is an API node that cannot be reached, not a question of our own address', async () => {
  const facts = { model: 'm', args: [], tunnelled: false, ports: { inference: 1, node: 2 } }
  const { view } = await startPart([], { facts, raw: { apiNodes: 'nowhere.invalid:9200' } })
  expect((await eventually('a problem', () => view()?.problem)).code).toBe('api-node-unreachable')
})
