// The routes that only private forks have: used where they are, remembered where they are not.
import { signal } from '@preact/signals-core'
import { onTestFinished, expect, test } from 'vitest'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPocStart } from '../../src/api-nodes/poc-start.ts'
import type { ApiNode } from '../../src/rehearsal/api-node.ts'
import { eventually } from '../support/eventually.ts'
import { bare, gets, posts, rehearse, startPart, toEntry } from './support.ts'

type Started = { version: string; init: Record<string, unknown> }

/** Answers each init with the next of `statuses`, then with the last one for ever. */
function recordStarts(...statuses: number[]) {
  const starts: Started[] = []
  const startPoc = (version: string, init: Record<string, unknown>) => {
    starts.push({ version, init })
    const status = statuses[Math.min(starts.length, statuses.length) - 1] ?? 200
    return Promise.resolve({ status, text: '{"detail":"rehearsed"}' })
  }
  return { starts, startPoc }
}

/** A private API node that lists us already and has a round for us. */
async function rehearsePrivate(version = 'v2'): Promise<ApiNode> {
  const node = await rehearse({ privateRoutes: true })
  node.world.pocInit.set('0042', { version, init_generate: { block_hash: 'b', node_id: 1, node_count: 2 } })
  return node
}

const asks = (node: ApiNode, part: string) => node.world.calls.filter(({ path }) => path.includes(part))

async function looks(node: ApiNode, count = 3) {
  const before = gets(node).length
  await eventually('looked again', () => gets(node).length >= before + count)
}

test.each(['v1', 'v2'])('a round that poc_init hands out is started once, as %s', async (version) => {
  const node = await rehearsePrivate(version)
  const { starts, startPoc } = recordStarts(200)
  await startPart([node], { startPoc })
  await eventually('started', () => starts.length === 1)
  expect(starts[0]).toEqual({ version, init: { block_hash: 'b', node_id: 1, node_count: 2 } })
  await looks(node)
  expect(asks(node, 'poc_init')).toHaveLength(1)
  expect(starts).toHaveLength(1)
})

test('PoC that runs already (409) is no problem and is not asked for again', async () => {
  const node = await rehearsePrivate()
  const { starts, startPoc } = recordStarts(409)
  const { part } = await startPart([node], { startPoc })
  await eventually('tried', () => starts.length === 1)
  await looks(node)
  expect(starts).toHaveLength(1)
  expect(part.status.value.health).toBe('ok')
})

test('an init that our node refuses is shown, tried three times in all, and then left to the broker', async () => {
  const node = await rehearsePrivate()
  const { starts, startPoc } = recordStarts(503)
  const { view } = await startPart([node], { startPoc })
  await eventually('a problem', () => view()?.problem?.code === 'poc-start-failed')
  expect(view()).toMatchObject({ phase: 'registered', problem: { evidence: expect.stringContaining('503: ') } })
  await eventually('three tries', () => starts.length === 3)
  await looks(node)
  expect(starts).toHaveLength(3)
})

test('with POC_NODE=false nobody asks for a round', async () => {
  const node = await rehearsePrivate()
  const { starts, startPoc } = recordStarts(200)
  const { view } = await startPart([node], { startPoc, raw: { pocNode: 'false' } })
  await eventually('registered', () => view()?.phase === 'registered')
  await looks(node)
  expect(asks(node, 'poc_init')).toEqual([])
  expect(starts).toEqual([])
})

test('with INFERENCE_NODE=false a round waits until an engine serves', async () => {
  const node = await rehearsePrivate()
  const serving = signal(false)
  const { starts, startPoc } = recordStarts(200)
  const { view } = await startPart([node], { startPoc, serving, needsEngine: false })
  await eventually('registered', () => view()?.phase === 'registered')
  await looks(node)
  expect(starts).toEqual([])
  serving.value = true
  await eventually('started', () => starts.length === 1)
})

test('two private API nodes start one round, not two', async () => {
  const nodes = [await rehearsePrivate(), await rehearsePrivate()]
  const { starts, startPoc } = recordStarts(200)
  const { part } = await startPart(nodes, { startPoc })
  await eventually('registered at both', () => part.views.value.every(({ phase }) => phase === 'registered'))
  for (const node of nodes) await looks(node)
  expect(starts).toHaveLength(1)
})

test('hardware is sent where the route is, under the registered id, and once', async () => {
  const node = await rehearse({ privateRoutes: true })
  await startPart([node], { raw: { idPrefix: 'eu-' } })
  await eventually('sent', () => node.world.hardware.get('eu-0042'))
  expect(node.world.hardware.get('eu-0042')).toMatchObject({ access: true, count: 1, devices: [{ name: 'H100' }] })
  await looks(node)
  expect(posts(node, '/admin/v1/nodes/eu-0042/hardware')).toHaveLength(1)
})

test('GPUs that changed are sent again', async () => {
  const node = await rehearse({ privateRoutes: true })
  const devices = [{ index: 0, name: 'H100' }]
  await startPart([node], { gpuDevices: () => ({ devices: [...devices], count: devices.length }) })
  await eventually('sent', () => node.world.hardware.get('0042'))
  devices.push({ index: 1, name: 'H100' })
  await eventually('sent again', () => posts(node, '/admin/v1/nodes/0042/hardware').length === 2)
})

test('routes that an API node does not have are asked for once and are no problem', async () => {
  const node = await rehearse()
  const { part, view } = await startPart([node], { raw: { nodeId: 'box7' } })
  await eventually('registered', () => view()?.phase === 'registered')
  // Twice each: under the registered id, and under the CLIENT_ID that the old script used.
  const probes = () => [asks(node, '/hardware').length, asks(node, 'poc_init').length]
  await eventually('probed', () => probes().join() === '2,2')
  await looks(node)
  expect(probes()).toEqual([2, 2])
  expect(part.status.value.health).toBe('ok')
})

test('an optional route that hangs does not cost the registration', async () => {
  const node = await rehearse({ faults: [{ kind: 'hang', path: '/admin/v1/poc_init' }] })
  node.world.nodes.set('0042', toEntry({ ...bare, max_concurrent: 500 }))
  const { view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
})

test.each([
  ['v2', '/api/v1/inference/pow/init/generate'],
  ['v1', '/api/v1/pow/init/generate'],
] as const)('an init of %s goes to our own node listener at %s', async (version, path) => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    response.writeHead(409).end('busy')
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await eventually('listening', () => server.listening)
  const start = createPocStart(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  expect(await start(version, { a: 1 }, new AbortController().signal)).toEqual({ status: 409, text: 'busy' })
  expect(seen).toEqual([`POST ${path}`])
})

test('a node listener that is away is an answer, not an exception', async () => {
  const start = createPocStart('http://127.0.0.1:1')
  expect(await start('v2', {}, new AbortController().signal)).toMatchObject({ status: 503 })
})
