import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { createEngineClient, type EngineClient } from '../../src/engine/client.ts'
import { whenReady } from '../../src/engine/readiness.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

async function listen(port: number, answer: RequestListener): Promise<void> {
  const server = createServer(answer).listen(port, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
}

function clientOf(port: number): EngineClient {
  const client = createEngineClient(`http://127.0.0.1:${port}`)
  onTestFinished(() => client.close())
  return client
}

type Facts = { health?: number; model?: string; poc?: number }

const engine =
  (facts: Facts, asked: string[] = []): RequestListener =>
  (request, response) => {
    asked.push(request.url ?? '')
    if (request.url === '/health') return void response.writeHead(facts.health ?? 200).end()
    if (request.url === '/v1/models') return void response.end(JSON.stringify({ data: [{ id: facts.model ?? 'M' }] }))
    response.writeHead(facts.poc ?? 200).end('{"status":"IDLE","config":null,"stats":null}')
  }

const abort = () => AbortSignal.timeout(20_000)

// The bench measures that it is noticed within 20 ms; here counts how long nobody looks, which no busy machine changes.
test.each([
  ['', false, 20],
  [', far more often where the log tells that it is soon', true, 5],
])('while nobody listens it is looked again within 20 ms%s', async (_, told, longest) => {
  const port = await freePort()
  const soon = signal(false)
  const pauses: number[] = []
  const wait: Clock['wait'] = (ms, signal) => {
    pauses.push(ms)
    return systemClock.wait(ms, signal)
  }
  const clock = { ...systemClock, wait }
  const ready = whenReady(clientOf(port), { model: 'M', port, hasPoc: true }, abort(), { soon, clock })
  await eventually('it is looked for', () => pauses.length > 3)
  soon.value = told
  const before = pauses.length
  await eventually('it is looked for again', () => pauses.length > before + 10)
  const refused = pauses.slice(before)
  await listen(port, engine({}))
  expect(await ready).toBeUndefined()
  // Half of it is the median.
  expect(Math.max(...refused)).toBeLessThanOrEqual(longest)
})

test('an engine that listens and is not healthy yet is asked with growing pauses', async () => {
  const port = await freePort()
  const facts: Facts = { health: 503 }
  const asked: string[] = []
  await listen(port, engine(facts, asked))
  const pauses: number[] = []
  const wait: Clock['wait'] = (ms, signal) => {
    pauses.push(ms)
    return systemClock.wait(ms, signal)
  }
  const clock = { ...systemClock, wait }
  const ready = whenReady(clientOf(port), { model: 'M', port, hasPoc: false }, abort(), { clock })
  await eventually('it was asked some times', () => pauses.length >= 8)
  expect(pauses[0]).toBeGreaterThanOrEqual(10)
  for (const [at, pause] of pauses.slice(1).entries())
    expect(pause).toBeGreaterThanOrEqual(Math.min(500, (pauses[at] ?? 0) * 1.3))
  facts.health = 200
  expect(await ready).toBeUndefined()
  expect(asked).not.toContain('/api/v1/pow/status')
})

test('another model on that port is a problem, not a readiness', async () => {
  const port = await freePort()
  await listen(port, engine({ model: 'Other' }))
  const problem = await whenReady(clientOf(port), { model: 'M', port, hasPoc: false }, abort())
  expect(problem).toMatchObject({ code: 'engine-wrong-model', evidence: '/v1/models: Other; expected M' })
})

test('a profile with PoC is not ready without it', async () => {
  const port = await freePort()
  await listen(port, engine({ poc: 404 }))
  const problem = await whenReady(clientOf(port), { model: 'M', port, hasPoc: true }, abort())
  expect(problem?.code).toBe('engine-poc-missing')
})

test('garbage, silence and broken connections are answers, never exceptions', async () => {
  const port = await freePort()
  const client = clientOf(port)
  expect(await client.health()).toEqual({ kind: 'refused' })
  await listen(port, (request, response) => {
    if (request.url === '/health') return void request.socket.destroy()
    if (request.url === '/metrics') return
    response.end('<html>{')
  })
  expect((await client.health()).kind).toBe('silent')
  expect((await client.metrics({ timeout: 200 })).kind).toBe('silent')
  expect(await client.models()).toEqual({ kind: 'answer', status: 200, body: undefined, text: '<html>{' })
})

test('waiting ends with the abort', async () => {
  const port = await freePort()
  const bound = AbortSignal.timeout(100)
  await expect(whenReady(clientOf(port), { model: 'M', port, hasPoc: false }, bound)).rejects.toThrow(/timeout/)
})

test('an engine of somebody else that answers at our port is not taken for ours', async () => {
  const port = await freePort()
  await listen(port, engine({}))
  const asked: boolean[] = []
  const isOurs = async () => {
    asked.push(asked.length >= 3)
    return asked.at(-1)
  }
  expect(await whenReady(clientOf(port), { model: 'M', port, hasPoc: true }, abort(), { isOurs })).toBeUndefined()
  expect(asked).toEqual([false, false, false, true])
})
