// The rehearsal API node answers as the real one does (contracts/api-nodes.md 3.2 to 3.5).
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type ApiNodeOptions, startApiNode } from '../../src/rehearsal/api-node.ts'
import { mergeArgs } from '../../src/rehearsal/api-node-record.ts'

const body = {
  id: 'a',
  host: 'frps',
  inference_port: 10001,
  poc_port: 20001,
  max_concurrent: 500,
  models: { 'org/model': { args: ['-x'] } },
}

async function rehearse(options: ApiNodeOptions = {}) {
  const node = await startApiNode({ triggers: false, scale: 1_000, ...options })
  onTestFinished(() => node.end())
  const send = async (method: string, path: string, sent?: unknown) => {
    const answer = await fetch(`http://127.0.0.1:${node.adminPort}/admin/v1${path}`, {
      method,
      redirect: 'manual',
      ...(sent !== undefined && { body: JSON.stringify(sent), headers: { 'content-type': 'application/json' } }),
    })
    return { status: answer.status, json: (await answer.json()) as unknown }
  }
  return { node, send }
}

test('a new node gets a number, and PUT ignores the id in its path', async () => {
  const { send } = await rehearse()
  expect(await send('POST', '/nodes', { ...body, poc_hw: { num: 1 }, access: true })).toMatchObject({
    status: 200,
    json: { id: 'a', node_num: 1 },
  })
  const other = { ...body, id: 'b', inference_port: 10002, poc_port: 20002 }
  expect(await send('PUT', '/nodes/whatever', other)).toMatchObject({ json: { id: 'b', node_num: 2 } })
  const { json } = await send('GET', '/nodes')
  expect(json).toMatchObject([
    { node: { id: 'a' }, state: { current_status: 'UNKNOWN', admin_state: { enabled: true } } },
    { node: { id: 'b' } },
  ])
  expect(JSON.stringify(json)).not.toContain('poc_hw')
})

test('everything that is wrong with a new node is one 400 text', async () => {
  const { send } = await rehearse()
  expect(await send('POST', '/nodes', { id: ' ', models: {} })).toEqual({
    status: 400,
    json: {
      error:
        'failed to create node: validation failed: node id is required and cannot be empty; host is required and cannot be empty; ' +
        'inference_port must be between 1 and 65535, got 0; poc_port must be between 1 and 65535, got 0; ' +
        'max_concurrent must be greater than 0, got 0; at least one model must be specified',
    },
  })
})

test('the same mistake in an update is a 500', async () => {
  const { send } = await rehearse()
  await send('POST', '/nodes', body)
  expect(await send('POST', '/nodes', { ...body, max_concurrent: 0 })).toEqual({
    status: 500,
    json: { error: 'failed to update node: validation failed: max_concurrent must be greater than 0, got 0' },
  })
})

test('host and port belong to one node', async () => {
  const { send } = await rehearse()
  await send('POST', '/nodes', body)
  const { status, json } = await send('POST', '/nodes', { ...body, id: 'b' })
  expect(status).toBe(400)
  expect((json as { error: string }).error).toBe(
    "failed to create node: validation failed: duplicate inference host+port combination: frps:10001 (already used by node 'a'); " +
      "duplicate PoC host+port combination: frps:20001 (already used by node 'a')",
  )
})

test('unknown models are dropped from a new node, refused when none is left, and refused in an update', async () => {
  const { send } = await rehearse({ governance: { 'org/model': [] } })
  const two = { ...body, models: { ...body.models, 'org/old': {} } }
  expect(await send('POST', '/nodes', two)).toMatchObject({ json: { models: { 'org/model': { args: ['-x'] } } } })
  expect(await send('POST', '/nodes', two)).toEqual({
    status: 500,
    json: { error: 'failed to update node: model org/old is not a valid governance model' },
  })
  const none = { ...body, id: 'b', inference_port: 1, poc_port: 2, models: { 'org/old': {} } }
  expect(await send('POST', '/nodes', none)).toEqual({
    status: 400,
    json: { error: 'failed to create node: node b has no governance-valid models' },
  })
})

test('a batch is 201, 206 with the errors, or a nested 400', async () => {
  const { send } = await rehearse()
  const other = { ...body, id: 'b', inference_port: 1, poc_port: 2 }
  expect((await send('POST', '/nodes/batch', [body])).status).toBe(201)
  const some = await send('POST', '/nodes/batch', [other, { ...body, id: 'c' }])
  expect(some).toMatchObject({ status: 206, json: { nodes: [{ id: 'b' }] } })
  const all = await send('POST', '/nodes/batch', [{ ...body, id: 'c' }])
  expect(all).toMatchObject({ status: 400, json: { error: { error: 'all nodes failed validation' } } })
  expect(JSON.stringify(all.json)).toContain('node[0] (id: c): code=400, message=failed to create node')
})

test('a body without a content type, with broken JSON or of another type is refused', async () => {
  const { node, send } = await rehearse()
  const bare = await fetch(`http://127.0.0.1:${node.adminPort}/admin/v1/nodes`, { method: 'POST', body: '{}' })
  expect([bare.status, await bare.text()]).toEqual([400, expect.stringContaining('Unsupported Media Type')])
  expect(await send('POST', '/nodes', [1])).toMatchObject({ status: 400 })
  expect(await send('POST', '/nodes', { ...body, inference_port: 'x' })).toMatchObject({
    status: 400,
    json: { error: expect.stringContaining('invalid request body') },
  })
})

test('delete answers true or false, disable and enable know their nodes, and the list says it', async () => {
  const { send } = await rehearse()
  await send('POST', '/nodes', body)
  expect(await send('POST', '/nodes/a/disable')).toEqual({
    status: 200,
    json: { message: 'node disabled successfully', node_id: 'a' },
  })
  expect((await send('GET', '/nodes')).json).toMatchObject([{ state: { admin_state: { enabled: false } } }])
  expect((await send('POST', '/nodes/x/enable')).status).toBe(404)
  expect(await send('DELETE', '/nodes/a')).toEqual({ status: 200, json: true })
  expect(await send('DELETE', '/nodes/a')).toEqual({ status: 200, json: false })
})

test('the routes of the private fork are 404 unless it plays one', async () => {
  const plain = await rehearse()
  expect(await plain.send('GET', '/poc_init/a?access=true')).toEqual({ status: 404, json: { error: 'Not Found' } })
  expect((await plain.send('POST', '/nodes/a/hardware', {})).status).toBe(404)
  const fork = await rehearse({ privateRoutes: true })
  await fork.send('POST', '/nodes', body)
  expect((await fork.send('GET', '/poc_init/a')).status).toBe(403)
  expect(await fork.send('GET', '/poc_init/a?access=true')).toEqual({
    status: 200,
    json: { version: 'v2', init_generate: {} },
  })
  expect((await fork.send('POST', '/nodes/a/hardware', { count: 1 })).status).toBe(200)
})

test('arguments of the chain come first, our own only for keys that it leaves alone', () => {
  expect(mergeArgs(['--tp', '4', '--eager'], ['--tp', '2', '--load-format', 'fast', '--eager', '--q=fp8'])).toEqual([
    '--tp',
    '4',
    '--eager',
    '--load-format',
    'fast',
    '--q=fp8',
  ])
})

test('it goes away and comes back on the same port', async () => {
  const { node, send } = await rehearse()
  await node.away()
  await expect(send('GET', '/nodes')).rejects.toThrow('fetch failed')
  await node.comeBack()
  expect((await send('GET', '/nodes')).status).toBe(200)
})

test('as a program it prints where it listens and ends when it is told to', async () => {
  const path = join(import.meta.dirname, '../../src/rehearsal/api-node.ts')
  const args = ['--admin-port', '0', '--callback-port', '0', '--model', 'org/model', '--fault', '400', '--private']
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { adminPort, pid } = JSON.parse(line.toString()) as { adminPort: number; pid: number }
  expect(pid).toBe(child.pid)
  const answer = await fetch(`http://127.0.0.1:${adminPort}/admin/v1/nodes`, { method: 'POST', body: '{}' })
  expect(await answer.json()).toEqual({ error: 'failed to create node: rehearsed' })
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})
