// The rehearsal broker's calls, orders and phases against a stub node (contracts/api-nodes.md 3.6, 3.7).
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type ApiNode, type ApiNodeOptions, startApiNode } from '../../src/rehearsal/api-node.ts'
import { eventually } from '../support/eventually.ts'

type Seen = { line: string; body: string; contentType: string | undefined }

/** An MLNode that answers what `answers` says by path, 200 {} otherwise. */
async function stubNode(answers: Record<string, unknown>) {
  const seen: Seen[] = []
  const read = async (request: IncomingMessage) => {
    let text = ''
    for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString()
    return text
  }
  const server = createServer((request, response) => {
    void read(request).then((text) => {
      seen.push({ line: `${request.method} ${request.url}`, body: text, contentType: request.headers['content-type'] })
      const answer = answers[request.url ?? '']
      if (typeof answer === 'number') response.writeHead(answer).end()
      else response.end(JSON.stringify(answer ?? {}))
    })
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await eventually('listening', () => server.listening)
  return { seen, port: (server.address() as AddressInfo).port, lines: () => seen.map(({ line }) => line), answers }
}

const healthy = {
  '/api/v1/state': { state: 'INFERENCE', version: '1' },
  '/api/v1/inference/pow/status': { status: 'IDLE' },
  '/v1/models': { data: [{ id: 'org/model' }] },
}

async function rehearse(ports: number[], options: ApiNodeOptions = {}): Promise<ApiNode> {
  const node = await startApiNode({
    triggers: false,
    scale: 1_000,
    resolve: { frps: '127.0.0.1' },
    ...options,
  })
  onTestFinished(() => node.end())
  for (const [at, port] of ports.entries()) {
    const answer = await fetch(`http://127.0.0.1:${node.adminPort}/admin/v1/nodes`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        id: `n${at}`,
        host: 'frps',
        inference_port: port,
        poc_port: port,
        max_concurrent: 1,
        models: { 'org/model': { args: ['--mine', '1', '--tp', '1'] } },
      }),
    })
    if (answer.status !== 200) throw new Error(await answer.text())
  }
  return node
}

const control = async (node: ApiNode, path: string, body: unknown = {}) => {
  const answer = await fetch(`http://127.0.0.1:${node.controlPort}/rehearsal/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  return (await answer.json()) as unknown
}

const stateOf = (node: ApiNode, id = 'n0') => node.world.nodes.get(id)?.state

test('a healthy node is polled in order, behind the version prefix, and then left alone', async () => {
  const prefixed = Object.fromEntries(Object.entries(healthy).map(([path, answer]) => [`/v3.0.8${path}`, answer]))
  const stub = await stubNode(prefixed)
  const node = await rehearse([stub.port], { version: 'v3.0.8' })
  await node.broker.pollAll()
  await node.broker.reconcileAll()
  expect(stub.lines()).toEqual([
    'GET /v3.0.8/api/v1/state',
    'GET /v3.0.8/api/v1/inference/pow/status',
    'GET /v3.0.8/health',
    'GET /v3.0.8/v1/models',
  ])
  expect(stateOf(node)).toMatchObject({ current_status: 'INFERENCE', failure_reason: '' })
})

test.each([
  ['health is bad', { ...healthy, '/health': 503 }, 'health answered 503'],
  [
    'another model is loaded',
    { ...healthy, '/v1/models': { data: [{ id: 'x' }] } },
    'model x is loaded, expected org/model',
  ],
  ['the state cannot be read', { ...healthy, '/api/v1/state': 500 }, 'state answered 500'],
])(
  'a node is FAILED when %s, and is then stopped and loaded again with merged arguments',
  async (_, answers, reason) => {
    const stub = await stubNode(answers)
    const node = await rehearse([stub.port], { governance: { 'org/model': ['--tp', '4'] } })
    await node.broker.pollAll()
    expect(stateOf(node)).toMatchObject({ current_status: 'FAILED', failure_reason: reason })
    stub.seen.length = 0
    await node.broker.reconcileAll()
    const orders = stub.seen.filter(({ line }) => line.startsWith('POST'))
    expect(orders.map(({ line }) => line)).toEqual(['POST /api/v1/stop', 'POST /api/v1/inference/up'])
    expect(orders.map(({ contentType }) => contentType)).toEqual([undefined, undefined])
    expect(JSON.parse(orders[1]?.body ?? '')).toEqual({
      model: 'org/model',
      dtype: 'auto',
      additional_args: ['--tp', '4', '--mine', '1'],
    })
  },
)

test('a node that does not answer in time is FAILED', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  onTestFinished(() => {
    silent.closeAllConnections()
    silent.close()
  })
  await eventually('listening', () => silent.listening)
  const node = await rehearse([(silent.address() as AddressInfo).port], { probeTimeoutMs: 100 })
  await node.broker.pollAll()
  expect(stateOf(node)?.current_status).toBe('FAILED')
})

test('a disabled node is polled and gets no orders', async () => {
  const stub = await stubNode({ '/api/v1/state': { state: 'STOPPED' } })
  const node = await rehearse([stub.port])
  Object.assign(stateOf(node) ?? {}, { admin_state: { enabled: false, epoch: 1 } })
  await node.broker.pollAll()
  await node.broker.reconcileAll()
  expect(stub.lines().filter((line) => line.startsWith('POST'))).toEqual([])
})

test('a changed update loads the model again, an equal one does not', async () => {
  const stub = await stubNode(healthy)
  const node = await rehearse([stub.port])
  const update = (max: number, args: string[]) =>
    fetch(`http://127.0.0.1:${node.adminPort}/admin/v1/nodes`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...node.world.nodes.get('n0')?.node,
        max_concurrent: max,
        models: { 'org/model': { args } },
      }),
    })
  await update(2, ['--mine', '1', '--tp', '1'])
  expect(stub.lines()).toEqual([])
  await update(2, ['--mine', '2'])
  await eventually('loaded again', () => stub.lines().join().includes('POST /api/v1/inference/up'))
})

test('a PoC round goes to every node with its number, and its batches are booked by nonce', async () => {
  const stubs = [await stubNode(healthy), await stubNode(healthy)]
  const node = await rehearse(stubs.map(({ port }) => port))
  expect(await control(node, 'poc/start', { blockHash: 'b1', blockHeight: 9 })).toEqual({ n0: 200, n1: 200 })
  const inits = stubs.map(({ seen }) => JSON.parse(seen.at(-1)?.body ?? '') as Record<string, unknown>)
  expect(inits.map(({ node_id: id, node_count: count }) => [id, count])).toEqual([
    [1, 3],
    [2, 3],
  ])
  expect(inits[0]).toMatchObject({ block_hash: 'b1', block_height: 9, params: { model: 'org/model' } })
  expect(inits[0]).not.toHaveProperty('batch_size')
  const url = String(inits[0]?.['url'])
  expect(url).toContain('/v2/poc-batches/org%252Fmodel')
  const send = async (nodeId: number, nonces: number[], vector = 'AAA=') => {
    const artifacts = nonces.map((nonce) => ({ nonce, vector_b64: vector }))
    const answer = await fetch(`${url}/generated`, {
      method: 'POST',
      body: JSON.stringify({ block_hash: 'b1', node_id: nodeId, artifacts }),
    })
    return answer.status
  }
  // Node 1 of 3 with two engines: 1, 4, 7, 10, …; 7 is missing, 4 came twice, 2 is a stranger's.
  expect(await send(1, [1, 4, 10, 13])).toBe(200)
  expect(await send(1, [4, 2])).toBe(200)
  expect(node.world.coverage.describe('b1', 2)).toMatchObject([
    {
      nodeNum: 1,
      count: 5,
      duplicates: 1,
      foreign: 1,
      groups: [
        { count: 2, highest: 13, missing: 1 },
        { count: 2, highest: 10, missing: 0 },
      ],
    },
  ])
  expect(await send(9, [1])).toBe(400)
  expect(await send(1, [1], '')).toBe(400)
  expect(await send(1, [1], '!!')).toBe(400)
  await control(node, 'poc/validate')
  expect(await send(1, [16])).toBe(503)
})

test('validation stops the mining first and then asks each node about the other', async () => {
  const stubs = [await stubNode(healthy), await stubNode(healthy)]
  const node = await rehearse(stubs.map(({ port }) => port))
  await control(node, 'poc/start', { blockHash: 'b1' })
  node.world.coverage.add('b1', 2, 3, [{ nonce: 2, vector_b64: 'AAA=' }])
  expect(await control(node, 'poc/validate')).toEqual({ n0: 200, n1: 'nothing to validate' })
  const lines = stubs[0]?.lines() ?? []
  expect(lines.slice(-2)).toEqual(['POST /api/v1/inference/pow/stop', 'POST /api/v1/inference/pow/generate'])
  expect(JSON.parse(stubs[0]?.seen.at(-1)?.body ?? '')).toMatchObject({
    node_id: 2,
    nonces: [2],
    wait: false,
    validation: { artifacts: [{ nonce: 2, vector_b64: 'AAA=' }] },
    stat_test: { dist_threshold: 0.4, p_mismatch: 0.1, p_value_threshold: 0.05 },
  })
  expect(await control(node, 'poc/stop')).toEqual({ n0: 200, n1: 200 })
})

test('a node that generates already is not started again', async () => {
  const stub = await stubNode({ ...healthy, '/api/v1/inference/pow/status': { status: 'GENERATING' } })
  const node = await rehearse([stub.port])
  expect(await control(node, 'poc/start')).toEqual({ n0: 'skipped' })
})

test('a node that stops while it should generate is told to again, and in no other phase', async () => {
  const stub = await stubNode({ ...healthy })
  const node = await rehearse([stub.port])
  const inits = () => stub.seen.filter(({ line }) => line === 'POST /api/v1/inference/pow/init/generate')
  const look = async () => {
    await node.broker.pollAll()
    await node.broker.reconcileAll()
  }
  await control(node, 'poc/start', { blockHash: 'b1' })
  stub.answers['/api/v1/inference/pow/status'] = { status: 'GENERATING' }
  await look()
  expect(inits()).toHaveLength(1)
  stub.answers['/api/v1/inference/pow/status'] = { status: 'IDLE' }
  await look()
  expect(inits().map(({ body }) => (JSON.parse(body) as { block_hash: string }).block_hash)).toEqual(['b1', 'b1'])
  await control(node, 'poc/validate')
  await look()
  await control(node, 'poc/stop')
  await look()
  expect(inits()).toHaveLength(2)
  expect(stub.lines()).not.toContain('POST /api/v1/stop')
})

test('its own door says what was called, and refuses a fault that nobody knows', async () => {
  const stub = await stubNode(healthy)
  const node = await rehearse([stub.port])
  await control(node, 'poll')
  const answer = await fetch(`http://127.0.0.1:${node.controlPort}/rehearsal/calls`)
  const calls = (await answer.json()) as { direction: string; path: string; status: number }[]
  expect(calls.some(({ direction, path }) => direction === 'out' && path === '/api/v1/state')).toBe(true)
  expect(await control(node, 'faults', ['nonsense'])).toMatchObject({ error: expect.stringContaining('unknown fault') })
})
