// Corners of HTTP/1.1 that clients and engines really reach (RFC 9110, RFC 9112), spoken over raw sockets.
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { rawConnect, readAll, sendText, startEngine, startFront } from './support.ts'

const echo = () =>
  startEngine((request, response) => {
    readAll(request).then(
      (text) => sendText(response, `<${request.method} ${request.url} ${text}>`),
      () => {},
    )
  })

const last = 'GET /v1/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

test('a client that sends its whole upload before it reads the early refusal can go on with the same connection', async () => {
  const { upstream } = await startEngine((request, response) => {
    if (request.method === 'GET') return sendText(response, 'next')
    response.writeHead(413, { 'content-length': 3 }).end('big')
  })
  const { port } = await startFront(upstream)
  const size = 20_000_000
  const { socket, got, closed } = rawConnect(port, `POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`)
  await once(socket, 'connect')
  socket.write('x'.repeat(100_000))
  await eventually('the refusal', () => got().endsWith('\r\n\r\nbig'))
  socket.write('x'.repeat(size - 100_000))
  socket.write(last)
  expect(await closed).toMatch(/\r\n\r\nnext$/)
  expect(got().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200'])
})

test('pipelined uploads reach the engine apart, in order, chunked ones and their trailers too', async () => {
  const { upstream } = await echo()
  const { port } = await startFront(upstream)
  const chunked =
    'POST /v1/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nbo\r\n2;ext=1\r\ndy\r\n0\r\nx-sum: 1\r\n\r\n'
  const all = `POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none${chunked}HEAD /v1/c HTTP/1.1\r\nHost: x\r\n\r\n${last}`
  const got = await rawConnect(port, all).closed
  expect(got.match(/<[^>]+>/g)).toEqual(['<POST /v1/a one>', '<POST /v1/b body>', '<GET /v1/last >'])
  expect(got.match(/HTTP\/1\.1 200/g)).toHaveLength(4)
})

test.each([
  ['a chunk that is longer than its size', '2\r\nabc\r\n0\r\n\r\n'],
  ['a size that is none', 'zz\r\nabc\r\n0\r\n\r\n'],
])('an upload with %s is 400, and no engine takes it for whole', async (_, rest) => {
  const seen = { began: false, ended: false, closed: false }
  const { upstream } = await startEngine((request) => {
    request.on('data', () => (seen.began = true))
    request.on('end', () => (seen.ended = true))
    request.on('close', () => (seen.closed = true))
  })
  const { port } = await startFront(upstream)
  const head = 'POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'
  const { socket, closed } = rawConnect(port, head)
  await eventually('the upload to begin', () => seen.began)
  socket.write(rest)
  expect(await closed).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  await eventually('the engine to see it', () => seen.closed)
  expect(seen.ended).toBe(false)
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('more bytes than the length says are a next request, which is 400 where they are none', async () => {
  const { upstream } = await echo()
  const { port } = await startFront(upstream)
  const got = await rawConnect(port, 'POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab cd\r\n\r\n').closed
  expect(got).not.toContain('cd')
  expect(got).toMatch(/HTTP\/1\.1 400 Bad Request/)
})

test('garbage behind a request never gets into the answer that is on its way', async () => {
  const { upstream } = await startEngine((_, response) => {
    response.writeHead(200).write('part')
  })
  const { port } = await startFront(upstream)
  const { socket, got, closed } = rawConnect(port, 'GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n')
  await eventually('the answer to begin', () => got().includes('part'))
  socket.write('garbage\r\n\r\n')
  const answer = await closed
  expect(answer).toContain('part')
  expect(answer).not.toContain('400')
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('a length beside chunks is refused before anything reaches an engine', async () => {
  const seen = { asked: 0 }
  const { upstream } = await startEngine((_, response) => {
    seen.asked += 1
    sendText(response, '')
  })
  const { port } = await startFront(upstream)
  const both =
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  expect(await rawConnect(port, `POST /v1/x HTTP/1.1\r\nHost: x\r\n${both}`).closed).toMatch(/^HTTP\/1\.1 400 /)
  const twice = 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'
  expect(await rawConnect(port, `POST /v1/x HTTP/1.1\r\nHost: x\r\n${twice}`).closed).toMatch(/^HTTP\/1\.1 400 /)
  expect(seen.asked).toBe(0)
})

test('an upgrade is answered as the request that it also is, and no engine hears of it', async () => {
  const asked: unknown[] = []
  const { upstream } = await startEngine((request, response) => {
    asked.push(request.headers.upgrade, request.headers.connection, request.headers['http2-settings'])
    sendText(response, 'plain')
  })
  const { port } = await startFront(upstream)
  const upgrades = [
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ',
  ]
  for (const upgrade of upgrades) {
    const { socket, got, closed } = rawConnect(port, `GET /v1/realtime HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\n`)
    await eventually('an answer', () => got().endsWith('\r\n\r\nplain'))
    socket.write(last)
    expect((await closed).match(/HTTP\/1\.1 200/g)).toHaveLength(2)
  }
  expect(asked.filter((one) => one !== undefined)).toEqual([])
})

test('an expectation that nobody knows is 417, a tunnel through us is refused', async () => {
  const { upstream } = await echo()
  const { port } = await startFront(upstream)
  const expecting =
    'POST /v1/x HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
  expect(await rawConnect(port, expecting).closed).toMatch(/^HTTP\/1\.1 417 /)
  const got = await rawConnect(port, 'CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: 10.0.0.1:22\r\n\r\n').closed
  expect(got).not.toMatch(/HTTP\/1\.1 2/)
})
