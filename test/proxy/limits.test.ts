// How long the data path waits for clients that stop sending and engines that stop answering; small limits stand for 120 s and 1 h.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { proxyLimits } from '../../src/proxy/proxy.ts'
import { rawConnect, sendText, startEngine, startFrontWith } from './support.ts'

const post = (length: number, body: string) =>
  `POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${body}`

const toError = (answer: string) =>
  (JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { error: object }).error

test('an upload may rest for 2 min, an engine be silent for an hour', () => {
  expect(proxyLimits).toMatchObject({ idleBody: 120_000, silent: 3_600_000 })
})

test('a client that stops in the middle of a short body is 408, and no engine hears of it', async () => {
  const { upstream, server } = await startEngine((_, response) => sendText(response, 'ok'))
  const asked = { times: 0 }
  server.on('request', () => (asked.times += 1))
  const { port } = await startFrontWith({ idleBody: 150 }, upstream)
  const answer = await rawConnect(port, post(100, '{"model":')).closed
  expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
  expect(answer).toMatch(/connection: close\r\n/i)
  expect(toError(answer)).toMatchObject({ type: 'timeout', code: 408, param: null })
  expect(asked.times).toBe(0)
})

test('a client that stops in the middle of a streamed upload is 408, and its engine is told', async () => {
  const seen = { began: false, aborted: false }
  const { upstream } = await startEngine((asked) => {
    asked.on('data', () => (seen.began = true))
    asked.once('close', () => (seen.aborted = !asked.complete))
  })
  const { port } = await startFrontWith({ idleBody: 300 }, upstream)
  const answer = await rawConnect(port, post(1_000_000, 'x'.repeat(100_000))).closed
  expect(seen.began).toBe(true)
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  await eventually('the engine to see it', () => seen.aborted)
  expect(upstream.inFlight).toBe(0)
  expect(upstream.doubts.value).toBe(0)
})

test('an upload whose answer has begun is cut off when it stops, and the answer does not look whole', async () => {
  const { upstream } = await startEngine((asked, response) => {
    asked.resume()
    response.writeHead(200).write('early')
  })
  const { port } = await startFrontWith({ idleBody: 300 }, upstream)
  const answer = await rawConnect(port, post(1_000_000, 'x'.repeat(100_000))).closed
  expect(answer).toContain('early')
  expect(answer).not.toMatch(/0\r\n\r\n$|HTTP\/1\.1 408/)
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('a client whose bytes wait for a slow engine is not idle', async () => {
  const engine: { asked?: IncomingMessage } = {}
  const { upstream } = await startEngine((asked, response) => {
    engine.asked = asked
    let bytes = 0
    asked.on('data', (part: Buffer) => (bytes += part.length)).pause()
    asked.once('end', () => sendText(response, `${bytes} bytes`))
  })
  const { port } = await startFrontWith({ idleBody: 100 }, upstream)
  // More than all buffers on the way hold.
  const size = 40_000_000
  const { got } = rawConnect(port, post(size, 'x'.repeat(size)))
  await eventually('the engine to be asked', () => engine.asked)
  // Five times as long as one who sends nothing is borne with.
  for (let times = 0; times < 5; times += 1)
    expect(await rawConnect(port, post(10, 'x')).closed).toMatch(/^HTTP\/1\.1 408 /)
  engine.asked?.resume()
  await eventually('the answer', () => got().endsWith(`\r\n\r\n${size} bytes`))
})

test('an engine that stays silent is 504, asked nowhere else, and its connection ends', async () => {
  const seen = { closed: 0, other: 0 }
  const silent = await startEngine((_, response) => void response.once('close', () => (seen.closed += 1)))
  const other = await startEngine((_, response) => {
    seen.other += 1
    sendText(response, 'ok')
  }, 1)
  const { port, upstreams } = await startFrontWith({ silent: 150, lookEvery: 20 }, silent.upstream)
  for (const request of [post(2, '{}'), 'GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n']) {
    const { got, socket } = rawConnect(port, request)
    await eventually('it to be asked', () => silent.upstream.inFlight === 1)
    upstreams.value = [silent.upstream, other.upstream]
    await eventually('an answer', () => got().endsWith('}}'))
    expect(got()).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n/)
    expect(toError(got())).toMatchObject({ type: 'gateway_timeout', code: 504 })
    upstreams.value = [silent.upstream]
    socket.destroy()
  }
  await eventually('the engine to see it', () => seen.closed === 2)
  expect(seen.other).toBe(0)
  expect(silent.upstream.doubts.value).toBe(2)
})

test('an engine that falls silent in mid-stream has its answer cut short', async () => {
  const { upstream } = await startEngine((_, response) => void response.writeHead(200).write('part'))
  const { port } = await startFrontWith({ silent: 150, lookEvery: 20 }, upstream)
  const answer = await rawConnect(port, post(2, '{}')).closed
  expect(answer).toContain('part')
  expect(answer).not.toContain('0\r\n\r\n')
})

test('an engine that takes a long upload is not silent', async () => {
  const { upstream } = await startEngine((asked, response) => {
    if (asked.method === 'GET') return
    let bytes = 0
    asked.on('data', (part: Buffer) => (bytes += part.length))
    asked.once('end', () => sendText(response, `${bytes} bytes`))
  })
  const { port } = await startFrontWith({ silent: 1200, lookEvery: 20 }, upstream)
  const { socket, got } = rawConnect(port, post(100_000, ''))
  await once(socket, 'connect')
  let left = 100_000
  const send = (bytes: number) => {
    left -= bytes
    socket.write('x'.repeat(bytes))
  }
  send(1)
  // For longer than a silent engine has.
  const silent = rawConnect(port, 'GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n')
  const isOver = () => {
    send(1)
    return silent.got().startsWith('HTTP/1.1 504 ')
  }
  await eventually('a silent engine to be given up', isOver, 15_000, 100)
  send(left)
  await eventually('the answer', () => got().endsWith('\r\n\r\n100000 bytes'))
})
