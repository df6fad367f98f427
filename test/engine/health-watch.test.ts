// The look at an engine where a request failed: its own word takes it out of rotation, silence never does.
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import type { Problem } from '../../src/api/status.ts'
import { systemClock } from '../../src/core/clock.ts'
import { listProcesses } from '../../src/core/proc.ts'
import { createEngineClient } from '../../src/engine/client.ts'
import { whenLost } from '../../src/engine/health-watch.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { engineBed, start, whenPhase } from './engine-bed.ts'

/** An engine that answers /health as `facts` say; `late`: not at all. */
async function bed(patience = 60_000) {
  const facts: { health: number | 'late'; asked: number } = { health: 200, asked: 0 }
  const port = await freePort()
  const server: Server = createServer((_, response) => {
    facts.asked += 1
    if (facts.health !== 'late') response.writeHead(facts.health).end()
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const client = createEngineClient(`http://127.0.0.1:${port}`)
  const over = new AbortController()
  onTestFinished(async () => {
    over.abort()
    server.closeAllConnections()
    server.close()
    await client.close()
  })
  const upstream = new Upstream({ id: 'e', slot: 0, port, model: 'M', hasPoc: false, state: 'serving' })
  const unwell = signal<Problem | undefined>(undefined)
  const lost = whenLost({ client, upstream, unwell, clock: systemClock, patience }, over.signal)
  lost.catch(() => {})
  return { facts, server, upstream, unwell, lost }
}

const fail = (upstream: Upstream): void => {
  using turn = upstream.begin()
  turn.fail()
}

test('nobody asks an engine whose requests succeed', async () => {
  const { facts, upstream } = await bed()
  upstream.begin()[Symbol.dispose]()
  await new Promise((resolve) => setImmediate(resolve))
  expect(facts.asked).toBe(0)
})

test.each([503, 500])('one that answers %i is unwell at once, and well again when it proves it', async (health) => {
  const { facts, upstream, unwell } = await bed()
  facts.health = health
  fail(upstream)
  expect(await eventually('unwell', () => unwell.value)).toMatchObject({
    code: 'engine-unhealthy',
    evidence: `GET /health answered ${health}`,
  })
  facts.health = 200
  await eventually('well', () => unwell.value === undefined)
  facts.health = health
  fail(upstream)
  await eventually('unwell again', () => unwell.value)
})

test('one that shows its death a moment after the failed request is found out all the same', async () => {
  const { facts, upstream, unwell } = await bed()
  fail(upstream)
  await eventually('looked once', () => facts.asked === 1)
  facts.health = 503
  await eventually('unwell', () => unwell.value)
})

test('one that refuses is unwell, and ended when it never proves healthy', async () => {
  const { server, upstream, unwell, lost } = await bed(500)
  server.closeAllConnections()
  server.close()
  fail(upstream)
  expect(await eventually('unwell', () => unwell.value)).toMatchObject({ code: 'engine-refuses' })
  expect(await lost).toMatchObject({ code: 'engine-refuses' })
})

test('one that is too busy to answer stays in rotation, and a thousand failures ask it no oftener than one at a time', async () => {
  const { facts, upstream, unwell } = await bed()
  facts.health = 'late'
  for (let at = 0; at < 1000; at += 1) fail(upstream)
  await eventually('looked', () => facts.asked === 1)
  for (let at = 0; at < 1000; at += 1) fail(upstream)
  await new Promise((resolve) => setImmediate(resolve))
  expect([facts.asked, unwell.value]).toEqual([1, undefined])
})

test('an engine whose core died is out of rotation while its process still lives', async () => {
  const life = start(await engineBed({ WATCHDOG_MS: '120000' }, { stop: 300 }))
  await whenPhase(life, 'serving')
  const core = listProcesses().find(({ ppid, pid }) => ppid === life.pid && isCore(pid))
  if (!core) throw new Error('it has no core')
  process.kill(core.pid, 'SIGKILL')
  const body = JSON.stringify({ model: 'Test/Tiny', prompt: 'a', max_tokens: 1 })
  const ask = () =>
    fetch(`${life.upstream.origin}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
  await eventually('a request fails', async () => (await ask()).status === 500)
  fail(life.upstream)
  await eventually('out of rotation', () => life.upstream.state.value === 'unwell')
  expect([life.phase.value, life.problem.value?.code]).toEqual(['serving', 'engine-unhealthy'])
  await life.stop({ drain: false })
  expect([life.upstream.state.value, life.problem.value]).toEqual(['gone', undefined])
})

const isCore = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('EngineCore')
