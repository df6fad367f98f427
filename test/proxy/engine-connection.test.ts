// What an engine may do to a connection, played by raw sockets.
import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { request } from 'node:http'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import type { Upstream } from '../../src/engine/upstream.ts'
import { eventually } from '../support/eventually.ts'
import { createUpstream, rawConnect, sendText, startEngine, startFront } from './support.ts'

/** Calls `onHead` with each request head that comes, whatever its body. */
async function startRaw(
  onHead: (socket: Socket, head: string) => void,
): Promise<{ upstream: Upstream; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (part: Buffer) => {
      text += part.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = text.slice(0, end)
      text = ''
      onHead(socket, head)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { upstream: createUpstream((server.address() as AddressInfo).port), sockets }
}

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const ask = async (url: string, init: RequestInit = {}) => {
  const answer = await fetch(`${url}/v1/x`, init)
  return [answer.status, answer.status === 200 ? await answer.text() : '']
}

test('one connection serves requests that come after one another', async () => {
  const { upstream, sockets } = await startRaw((socket) => socket.write(ok))
  const { url } = await startFront(upstream)
  for (let at = 0; at < 5; at += 1) expect(await ask(url)).toEqual([200, 'ok'])
  expect(sockets).toHaveLength(1)
})

test.each([
  ['says that it closes', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'],
  ['sends more than its answer', `${ok}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`],
])('a connection whose engine %s is not used again', async (_, answer) => {
  const { upstream, sockets } = await startRaw((socket) => socket.write(answer))
  const { url } = await startFront(upstream)
  for (let at = 0; at < 3; at += 1) expect(await ask(url)).toEqual([200, 'ok'])
  expect(sockets).toHaveLength(3)
})

test('a POST that a reused connection took with it into its end is 502, and is sent only once', async () => {
  const heads: string[] = []
  const { upstream, sockets } = await startRaw((socket, head) => {
    // The engine closes the idle connection while the next request is on its way to it.
    if (heads.push(head.slice(0, 4)) === 2) socket.destroy()
    else socket.write(ok)
  })
  const { url } = await startFront(upstream)
  const post = { method: 'POST', body: '{}' }
  expect(await ask(url, post)).toEqual([200, 'ok'])
  expect(await ask(url, post)).toEqual([502, ''])
  expect(await ask(url, post)).toEqual([200, 'ok'])
  expect(heads).toHaveLength(3)
  expect(sockets).toHaveLength(2)
})

test('what an engine says unasked is no answer to the next request', async () => {
  const { upstream, sockets } = await startRaw((socket) => socket.write(ok))
  const { url } = await startFront(upstream)
  expect(await ask(url)).toEqual([200, 'ok'])
  const [first] = sockets
  first?.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil')
  await eventually('the connection to be given up', () => first?.destroyed)
  expect(await ask(url)).toEqual([200, 'ok'])
})

test.each([
  ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['a header that is none', 'HTTP/1.1 200 OK\r\na b: c\r\ncontent-length: 2\r\n\r\nok'],
  ['a control character in a header', 'HTTP/1.1 200 OK\r\na: \u0001\r\ncontent-length: 2\r\n\r\nok'],
])('%s instead of an answer is 502', async (_, answer) => {
  const { upstream } = await startRaw((socket) => socket.write(answer))
  const { url } = await startFront(upstream)
  expect(await ask(url, { method: 'POST', body: '{}' })).toEqual([502, ''])
  expect(upstream.inFlight).toBe(0)
})

test('garbage in the middle of an answer cuts it short', async () => {
  const { upstream } = await startRaw((socket) =>
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nxx\r\n'),
  )
  const { port } = await startFront(upstream)
  expect(await rawConnect(port, 'GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n').closed).not.toContain('0\r\n\r\n')
})

test('an answer that ends with its connection ends well', async () => {
  const { upstream } = await startRaw((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nto the end'))
  const { url } = await startFront(upstream)
  expect(await ask(url)).toEqual([200, 'to the end'])
})

test('an engine that refuses an upload before it has all of it is heard, and the rest is not sent', async () => {
  const { upstream, sockets } = await startRaw((socket) =>
    socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n'),
  )
  const { port } = await startFront(upstream)
  const asked = request({ port, method: 'POST', path: '/v1/x', headers: { 'content-length': 10_000_000 } })
  asked.on('error', () => {})
  asked.write('x'.repeat(100_000))
  const [answer] = (await once(asked, 'response')) as [{ statusCode: number }]
  expect(answer.statusCode).toBe(413)
  await eventually('the connection to be given up', () => sockets[0]?.destroyed)
  asked.destroy()
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('an engine gets the headers as the client sent them, byte for byte, with one length and a host', async () => {
  const heads: string[] = []
  const { upstream } = await startRaw((socket, head) => {
    heads.push(head)
    socket.write(ok)
  })
  const { port } = await startFront(upstream)
  await rawConnect(port, 'POST /v1/x HTTP/1.0\r\nX-A: \u00e4\r\n\r\n').closed
  const chunked = 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'
  await rawConnect(port, `POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${chunked}`).closed
  await rawConnect(port, 'POST /v1/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}').closed
  expect(heads).toEqual([
    `POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:${upstream.port}\r\nX-A: \u00c3\u00a4\r\ncontent-length: 0`,
    'POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked',
    'POST /v1/x HTTP/1.1\r\nHost: h\r\ncontent-length: 2',
  ])
})

test('an engine that is planned no more loses its idle connection at once, and what runs there ends', async () => {
  const { upstream, server } = await startEngine((asked, response) => {
    if (asked.url === '/v1/slow') setTimeout(() => sendText(response, 'late'), 100)
    else sendText(response, 'ok')
  })
  const { url, upstreams } = await startFront(upstream)
  const connections = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))
  const slow = fetch(`${url}/v1/slow`)
  expect(await ask(url)).toEqual([200, 'ok'])
  await eventually('both', async () => (await connections()) === 2)
  upstreams.value = []
  expect(await (await slow).text()).toBe('late')
  await eventually('none', async () => (await connections()) === 0)
})

test('an idle connection is closed by us before vLLM would close it', { timeout: 15_000 }, async () => {
  const ends: number[] = []
  const { upstream } = await startRaw((socket) => {
    const began = performance.now()
    socket.write(ok)
    socket.once('close', () => ends.push(performance.now() - began))
  })
  const { url } = await startFront(upstream)
  expect(await ask(url)).toEqual([200, 'ok'])
  await eventually('it to be closed', () => ends[0], 10_000)
  expect(ends[0]).toBeGreaterThan(3000)
})
