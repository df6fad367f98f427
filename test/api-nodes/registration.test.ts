import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { TunnelState } from '../../src/api-nodes/api-nodes.ts'
import { createLog } from '../../src/core/log.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { bare, gets, model, posts, quick, rehearse, startPart, toEntry } from './support.ts'

test('a node whose engine serves is registered, read back and said to be so', async () => {
  const node = await rehearse()
  const { part, view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  expect(view()).toMatchObject({ registeredId: '0042', announced: 'frps:10042 frps:20042', differences: [] })
  expect(part.status.value.health).toBe('ok')
  expect(node.world.nodes.get('0042')?.node).toMatchObject({
    host: 'frps',
    inference_port: 10042,
    poc_port: 20042,
    max_concurrent: 500,
    models: { [model]: { args: ['--max-model-len', '4096'] } },
    hardware: [{ type: 'NVIDIA H100 80GB HBM3 | 79GB', count: 2 }],
  })
})

test('nothing is announced before an engine serves and the tunnel is proved, then at once', async () => {
  const node = await rehearse()
  const [serving, tunnel] = [signal(false), signal<TunnelState>('waiting')]
  const { part, view } = await startPart([node], { serving, tunnelFor: () => tunnel })
  await eventually('a look ahead', () => gets(node).length >= 2)
  expect(view()?.phase).toBe('waiting-tunnel')
  tunnel.value = 'up'
  await eventually('waiting for the engine', () => view()?.phase === 'waiting-engine')
  expect(part.status.value.health).toBe('starting')
  expect(posts(node)).toEqual([])
  serving.value = true
  await eventually('registered', () => view()?.phase === 'registered')
})

test('with INFERENCE_NODE=false only the tunnel is waited for', async () => {
  const node = await rehearse()
  const { view } = await startPart([node], { needsEngine: false, serving: signal(false) })
  await eventually('registered', () => view()?.phase === 'registered')
})

test('an equal record is never posted again, however often it is looked at', async () => {
  const node = await rehearse()
  const { view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  const before = gets(node).length
  await eventually('looked at again', () => gets(node).length >= before + 4)
  expect(posts(node)).toHaveLength(1)
})

test('a record that somebody changed is put right, and one that vanished is made again', async () => {
  const node = await rehearse()
  const { view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  const entry = await eventually('the record', () => node.world.nodes.get('0042'))
  entry.node.max_concurrent = 7
  await eventually('put right', () => node.world.nodes.get('0042')?.node.max_concurrent === 500)
  node.world.nodes.clear()
  await eventually('made again', () => node.world.nodes.get('0042'))
})

test('a difference that survives two POSTs is a problem, not a third POST', async () => {
  const node = await rehearse()
  // Says yes and keeps nothing.
  node.world.faults.set([{ kind: 'answer', method: 'POST', status: 200, body: {} }])
  const timing = { ...quick, refusedFrom: 30, refusedTo: 40 }
  const { part, view } = await startPart([node], { timing })
  await eventually('differs', () => view()?.phase === 'differs')
  const before = gets(node).length
  await eventually('several looks', () => gets(node).length >= before + 5)
  expect(posts(node)).toHaveLength(2)
  expect(view()?.problem).toMatchObject({
    code: 'registration-differs',
    evidence: expect.stringContaining('not registered'),
  })
  expect(part.status.value.health).toBe('failed')
  node.world.faults.set([])
  node.world.nodes.set('0042', toEntry({ max_concurrent: 7 }))
  await eventually('another difference is posted again', () => view()?.phase === 'registered')
})

test('a model that the API node drops is named, and the refused update is final', async () => {
  const node = await rehearse({ governance: { [model]: [] } })
  const json = { ...bare, models: { [model]: { args: [] }, 'old/delisted': { args: [] } } }
  const { view } = await startPart([node], { raw: { json: JSON.stringify(json) } })
  await eventually('refused', () => view()?.phase === 'refused')
  expect(view()?.differences).toEqual(['models.old/delisted: missing there'])
  expect(view()?.problem?.code).toBe('model-not-governed')
  expect(posts(node).map(({ status }) => status)).toEqual([200, 500])
})

test('an engine or a tunnel that goes away does not take the registration back', async () => {
  const node = await rehearse()
  const { serving, tunnel, view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  serving.value = false
  tunnel.value = 'waiting'
  const before = gets(node).length
  await eventually('looked at again', () => gets(node).length >= before + 2)
  expect(view()?.phase).toBe('registered')
  expect(node.world.calls.filter(({ method, path }) => method === 'DELETE' || path.endsWith('/disable'))).toEqual([])
})

test('two API nodes are independent: one that refuses leaves the other registered', async () => {
  const [good, bad] = [await rehearse(), await rehearse({ governance: { 'another/model': [] } })]
  const { part, view } = await startPart([good, bad])
  await eventually('registered', () => view(0)?.phase === 'registered')
  const problem = await eventually('refused', () => view(1)?.problem)
  expect(problem.code).toBe('model-not-governed')
  expect(problem.evidence).toContain('has no governance-valid models')
  expect(part.status.value.health).toBe('degraded')
})

test('without API_NODES the part is off and says that the node stands alone', async () => {
  const { part } = await startPart([])
  expect(part.status.value).toMatchObject({ health: 'off', summary: 'stands alone: API_NODES is not set' })
  expect(await part.leave()).toEqual([])
})

test('the token of REGISTRATION_JSON is sent, and appears neither in log nor in status, even when it is thrown back', async () => {
  const token = 'sesame-opens-everything'
  const node = await rehearse()
  node.world.faults.set([{ kind: 'answer', method: 'POST', status: 400, body: { error: `bad token ${token}` } }])
  const lines: string[] = []
  const secrets = createSecrets()
  const log = createLog({ level: 'debug', secrets, write: (line) => lines.push(line) })
  const json = {
    id: 'x1',
    base_url: 'http://node.example',
    auth_token: token,
    max_concurrent: 5,
    models: { [model]: { args: [] } },
  }
  const { part, view } = await startPart([node], { raw: { json: JSON.stringify(json) }, secrets, log })
  await eventually('refused', () => view()?.phase === 'refused')
  expect(posts(node)[0]?.body).toMatchObject({ auth_token: token })
  expect(lines.join('')).toContain('bad token [redacted]')
  expect(lines.join('') + JSON.stringify([part.status.value, part.parts?.value, view()])).not.toContain(token)
})

test('another token is sent although it cannot be read back, once', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  const json = (token: string) =>
    JSON.stringify({
      id: 'x1',
      base_url: 'http://node.example',
      auth_token: token,
      max_concurrent: 5,
      models: { [model]: { args: [] } },
    })
  for (const token of ['first-token', 'second-token', 'second-token']) {
    const { part, view } = await startPart([node], { raw: { json: json(token) }, stateDir })
    await eventually('registered', () => view()?.phase === 'registered')
    await part.end('restart')
  }
  expect(posts(node)).toHaveLength(2)
  expect(node.world.nodes.get('x1')?.node.auth_token).toBe('second-token')
})
