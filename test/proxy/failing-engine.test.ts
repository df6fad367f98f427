// What the data path tells the life of an engine: which failures are the engine's own.
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { rawConnect, readAll, sendText, startEngine, startFront } from './support.ts'

const ask = (url: string) => fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' })

test.each([
  [200, 0],
  [400, 0],
  [429, 0],
  [500, 1],
  [503, 1],
])('an answer %i is %i reason to look at the engine', async (status, reasons) => {
  const { upstream } = await startEngine((_, response) => response.writeHead(status).end('{}'))
  const { url } = await startFront(upstream)
  expect((await ask(url)).status).toBe(status)
  expect(upstream.doubts.value).toBe(reasons)
})

test('a connection that the engine breaks is a reason to look at it, before its answer and in the middle of it', async () => {
  const { upstream } = await startEngine((request, response) => {
    if (request.headers['x-late'] === undefined) return void response.destroy()
    response.write('half')
    setImmediate(() => response.destroy())
  })
  const { url } = await startFront(upstream)
  expect((await ask(url)).status).toBe(502)
  expect(upstream.doubts.value).toBe(1)
  const late = await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}', headers: { 'x-late': '1' } })
  await expect(late.text()).rejects.toThrow('terminated')
  expect(upstream.doubts.value).toBe(2)
})

test('a client that leaves is none', async () => {
  const { upstream } = await startEngine((_, response) => void response.write('never whole'))
  const { port } = await startFront(upstream)
  const { socket, got } = rawConnect(port, 'GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n')
  await eventually('it was begun', () => got().includes('never'))
  socket.destroy()
  await eventually('the engine is told', () => upstream.inFlight === 0)
  expect(upstream.doubts.value).toBe(0)
})

test.each([
  ['{"error":{"message":"PoC generation is active, try again later"}}', 'good', 200],
  ['{"error":"poc_generation_active","reason":"init-generate"}', 'good', 200],
  ['{"error":"overloaded"}', '{"error":"overloaded"}', 503],
  [`{"error":"PoC generation is active${'x'.repeat(10_000)}"}`, undefined, 503],
])(
  'a 503 %.50s of one engine is answered with %.20s: only who mines has computed nothing',
  async (refusal, text, status) => {
    const asked: string[] = []
    const mining = await startEngine((request, response) => {
      void readAll(request).then((body) => asked.push(`mining ${body}`))
      response.writeHead(503, { 'content-type': 'application/json', 'x-of': 'mining' })
      response.write(refusal.slice(0, 9))
      response.end(refusal.slice(9))
    })
    const idle = await startEngine((request, response) => {
      void readAll(request).then((body) => asked.push(`idle ${body}`) && sendText(response, 'good'))
    }, 1)
    idle.upstream.begin()
    const { url } = await startFront(mining.upstream, idle.upstream)
    const post = (body: string) => fetch(`${url}/v1/completions`, { method: 'POST', body })
    const answer = await post('{"a":1}')
    expect([answer.status, await answer.text()]).toEqual([status, text ?? refusal])
    expect(answer.headers.get('x-of')).toBe(status === 503 ? 'mining' : null)
    expect(asked).toEqual(['mining {"a":1}', ...(status === 200 ? ['idle {"a":1}'] : [])])
    // One that was streamed is not kept, and where nobody else serves its own answer is passed on.
    expect((await post('x'.repeat(200_000))).status).toBe(503)
    idle.upstream.state.value = 'gone'
    const alone = await post('{}')
    expect([alone.status, await alone.text()]).toEqual([503, refusal])
    expect([mining.upstream.inFlight, idle.upstream.inFlight]).toEqual([0, 1])
  },
)
