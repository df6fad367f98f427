import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { once } from 'node:events'
import { onTestFinished, expect, test } from 'vitest'
import { z } from 'zod'
import { Refusal } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { createJsonApp } from '../../src/http/json-app.ts'
import { parseBody } from '../../src/http/pydantic-issues.ts'

const order = z.strictObject({ model: z.string(), count: z.number().default(1) })

async function startApp(options: { bodyWithin?: number } = {}): Promise<string> {
  const { onRequest } = createJsonApp({
    log: silentLog,
    bodyLimit: 1000,
    bodyIdle: 500,
    ...options,
    routes(app) {
      app.post('/up', async (request) => parseBody(order, request.body))
      app.post('/passed-on', { config: { streamsBody: true } }, async (request) => parseBody(order, request.body))
      app.get('/things/:id', async (request) => request.params)
      app.get('/refused', () => Promise.reject(new Refusal('no', 409, 'cannot now', { remedy: 'try later' })))
      app.get('/bug', () => Promise.reject(new Error('secret detail')))
    },
  })
  const server = createServer(onRequest).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function ask(url: string, init: RequestInit = {}): Promise<[number, unknown]> {
  const answer = await fetch(url, init)
  return [answer.status, await answer.json()]
}

test('a body is JSON whatever its content type says', async () => {
  const url = await startApp()
  for (const type of [undefined, 'text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
    const body = new TextEncoder().encode('{"model":"a"}')
    const init = { method: 'POST', body, headers: type ? { 'content-type': type } : {} }
    expect(await ask(`${url}/up`, init)).toEqual([200, { model: 'a', count: 1 }])
  }
})

test('a body that does not fit is 422 with the list that pydantic makes', async () => {
  const url = await startApp()
  const post = (body: string) => ask(`${url}/up`, { method: 'POST', body })
  expect(await post('{"count":"x","more":1}')).toMatchObject([
    422,
    {
      detail: [
        { type: 'missing', loc: ['body', 'model'], msg: 'Field required' },
        { type: 'int_parsing', loc: ['body', 'count'], input: 'x' },
        { type: 'extra_forbidden', loc: ['body', 'more'], msg: 'Extra inputs are not permitted', input: 1 },
      ],
    },
  ])
  expect(await post('{broken')).toMatchObject([422, { detail: [{ type: 'json_invalid', loc: ['body', 0] }] }])
  expect(await post('')).toMatchObject([422, { detail: [{ type: 'missing', loc: ['body'] }] }])
  expect((await post(`{"model":"${'x'.repeat(2000)}"}`))[0]).toBe(413)
})

test('unknown paths are 404, wrong methods 405 with allow, refusals keep their status, bugs tell nothing', async () => {
  const url = await startApp()
  expect(await ask(`${url}/nowhere`)).toEqual([404, { detail: 'Not Found' }])
  expect(await ask(`${url}/nowhere`, { method: 'POST', body: 'no JSON' })).toEqual([404, { detail: 'Not Found' }])
  expect((await ask(`${url}/refused`, { method: 'PUT', body: 'no JSON' }))[0]).toBe(405)
  const wrong = await fetch(`${url}/things/7?x=1`, { method: 'DELETE' })
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  expect(await ask(`${url}/refused`)).toEqual([409, { detail: 'cannot now. try later' }])
  expect(await ask(`${url}/bug`)).toEqual([500, { detail: 'Internal Server Error' }])
})

test('a client that stops in mid-body is cut off', async () => {
  const socket = connect(Number(new URL(await startApp()).port), '127.0.0.1')
  socket.write(`POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"mod`)
  await once(socket, 'close')
  expect(socket.destroyed).toBe(true)
})

/** Sends a body byte by byte, `every` ms apart. @returns what came back until the connection ended */
async function trickle(url: string, path: string, every: number): Promise<string> {
  const body = '{"model":"a","count":12345678}'
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
  socket.on('error', () => {})
  socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`)
  const bytes = body.split('')
  const timer = setInterval(() => {
    const byte = bytes.shift()
    if (byte !== undefined && socket.writable) socket.write(byte)
  }, every)
  await once(socket, 'close')
  clearInterval(timer)
  return answer
}

test('a body that comes byte by byte is 408 when its time is over, and the connection ends', async () => {
  const url = await startApp({ bodyWithin: 300 })
  const began = performance.now()
  const answer = await trickle(url, '/up', 100)
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(answer.endsWith('{"detail":"Request Timeout"}')).toBe(true)
  expect(performance.now() - began).toBeLessThan(3000)
})

test('a body that is passed on as it comes may take its time, and one that came in time is not cut afterwards', async () => {
  const url = await startApp({ bodyWithin: 100 })
  expect(await trickle(url, '/passed-on', 20)).toContain('{"model":"a","count":12345678}')
  expect(await trickle(await startApp({ bodyWithin: 5000 }), '/up', 1)).toContain('HTTP/1.1 200')
})
