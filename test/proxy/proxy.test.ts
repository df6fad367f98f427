import { createHash } from 'node:crypto'
import { type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { createUpstream, rawConnect, readAll, sendText, startEngine, startFront } from './support.ts'

test('an answer comes back with its status, headers and body, and hop-by-hop headers stay behind', async () => {
  const { upstream } = await startEngine((request, response) => {
    response.writeHead(201, 'Made', {
      'x-engine': 'one',
      'set-cookie': ['a=1', 'b=2'],
      connection: 'keep-alive, x-private',
      'x-private': 'secret',
      'content-length': 5,
    })
    response.end(request.headers['x-hop'] === undefined && request.headers['x-kept'] === 'yes' ? 'right' : 'wrong')
  })
  const { port } = await startFront(upstream)
  const { closed } = rawConnect(
    port,
    'GET /v3.0.8/v1/things?a=b HTTP/1.1\r\nHost: x\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nX-Kept: yes\r\n\r\n',
  )
  const answer = await closed
  expect(answer).toMatch(/^HTTP\/1\.1 201 Made\r\n/)
  expect(answer).toContain('x-engine: one')
  expect(answer).toContain('set-cookie: a=1\r\nset-cookie: b=2')
  expect(answer).not.toContain('x-private')
  expect(answer).toMatch(/\r\n\r\nright$/)
})

test('while no engine serves the answer is 503 at once, in OpenAI shape, with retry-after', async () => {
  const upstream = createUpstream(1)
  upstream.state.value = 'parked'
  const { url } = await startFront(upstream)
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{}' })
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('5')
  expect(await answer.json()).toMatchObject({ error: { type: 'service_unavailable', param: null, code: 503 } })
  expect((await fetch(`${url}/health`)).status).toBe(503)
  upstream.state.value = 'serving'
  expect((await fetch(`${url}/health`)).status).toBe(200)
})

test('only the surface of vLLM that the design lists is passed on', async () => {
  const { upstream } = await startEngine((request, response) => sendText(response, request.url ?? ''))
  const { url } = await startFront(upstream)
  for (const path of ['/sleep', '/tokenize', '/api/v1/pow/status', '/v1', '/docs']) {
    const answer = await fetch(url + path, { method: 'POST' })
    expect([path, answer.status, await answer.json()]).toEqual([path, 404, { detail: 'Not Found' }])
  }
  expect(await (await fetch(`${url}/version`)).text()).toBe('/version')
  expect(await (await fetch(`${url}/v0.2.14-rc1/v1/models?x=1`)).text()).toBe('/v1/models?x=1')
  expect((await fetch(`${url}/health`, { method: 'POST' })).status).toBe(405)
})

test('no spelling of a path that climbs out of /v1/ reaches an engine', async () => {
  const reached: string[] = []
  const { upstream } = await startEngine((request, response) => {
    reached.push(request.url ?? '')
    sendText(response, '')
  })
  const { port } = await startFront(upstream)
  const climbing = ['/v1/../sleep', '/v1/..', '/v1/x/../../sleep', '/v1/./sleep', '/v1/%2e%2E/sleep', '/v1/..%2fsleep']
  const harmless = ['/v1/models/a..b', '/v1/models/v1.5', '/v1/models/a%20b?next=/../x', '/v1/models/...']
  for (const path of [...climbing, '/v1/x%5c..%5csleep', '/v1/.%2e?x', 'http://x/v1/../sleep', ...harmless]) {
    const { closed } = rawConnect(port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect([path, (await closed).slice(9, 12)]).toEqual([path, harmless.includes(path) ? '200' : '404'])
  }
  expect(reached).toEqual(harmless)
})

test('a streamed answer arrives chunk by chunk, not at the end', async () => {
  const engine: { response?: ServerResponse } = {}
  const { upstream } = await startEngine((_request, response) => {
    engine.response = response
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: ä1\n\n')
  })
  const { url } = await startFront(upstream)
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"stream":true}' })
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  expect((await reader?.read())?.value).toBe('data: ä1\n\n')
  engine.response?.write('data: 2\n\n')
  expect((await reader?.read())?.value).toBe('data: 2\n\n')
  engine.response?.end('data: [DONE]\n\n')
  expect((await reader?.read())?.value).toBe('data: [DONE]\n\n')
  expect((await reader?.read())?.done).toBe(true)
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('the head of a stream arrives before its first chunk', async () => {
  const { upstream } = await startEngine((_request, response) => response.writeHead(200).flushHeaders())
  const { url } = await startFront(upstream)
  const left = new AbortController()
  expect((await fetch(`${url}/v1/x`, { signal: left.signal })).status).toBe(200)
  left.abort()
})

test.each([
  ['before the engine answered', () => {}],
  ['in mid-stream', (response: ServerResponse) => void response.writeHead(200).write('data: 1\n\n')],
])('a client that leaves %s is told to the engine without a moment in between', async (_, answer) => {
  const seen = { asked: false, told: 0 }
  const { upstream } = await startEngine((_request, response) => {
    seen.asked = true
    answer(response)
    response.once('close', () => (seen.told = performance.now()))
  })
  const { port } = await startFront(upstream)
  const { socket } = rawConnect(port, 'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}')
  await eventually('the engine to be asked', () => seen.asked && upstream.inFlight === 1)
  socket.destroy()
  // Client, proxy and engine share this event loop: its turns are counted, which a busy machine makes longer, not more. A clock
  // of 100 ms that anybody waited for would be some ten thousand of them.
  const turns = { count: 0 }
  const began = performance.now()
  while (!seen.told && performance.now() - began < 15_000) {
    turns.count += 1
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(seen.told).toBeGreaterThan(0)
  expect(turns.count).toBeLessThan(100)
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

test('an engine that dies in mid-stream truncates the answer, which never looks whole', async () => {
  const { upstream, server } = await startEngine((_request, response) => void response.writeHead(200).write('part'))
  const { port } = await startFront(upstream)
  const chunked = rawConnect(port, 'GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n')
  const old = rawConnect(port, 'GET /v1/x HTTP/1.0\r\n\r\n')
  await eventually('both parts', () => chunked.got().includes('part') && old.got().includes('part'))
  server.closeAllConnections()
  expect(await chunked.closed).not.toContain('0\r\n\r\n')
  expect(await old.closed).toMatch(/ECONNRESET/)
})

test('an engine that breaks off before it answered is 502 in OpenAI shape, and a POST is not repeated', async () => {
  const asked: string[] = []
  const broken = await startEngine((request) => {
    asked.push('broken')
    request.socket.destroy()
  })
  const good = await startEngine((_request, response) => {
    asked.push('good')
    sendText(response, 'good')
  }, 1)
  const { url } = await startFront(broken.upstream, good.upstream)
  const answers = [
    await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' }),
    await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' }),
  ]
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 502])
  expect(asked.toSorted()).toEqual(['broken', 'good'])
  expect(await answers.find(({ status }) => status === 502)?.json()).toMatchObject({ error: { code: 502 } })
})

test('a GET that broke off is repeated once on another engine', async () => {
  const broken = await startEngine((request) => void request.socket.destroy())
  const good = await startEngine((_request, response) => sendText(response, 'good'), 1)
  const { url } = await startFront(broken.upstream, good.upstream)
  for (let at = 0; at < 4; at += 1) expect(await (await fetch(`${url}/v1/models`)).text()).toBe('good')
})

test('a POST goes to another engine when the first refuses the connection, its body whole', async () => {
  const dead = createUpstream(await freePort())
  const good = await startEngine(
    (request, response) => void readAll(request).then((text) => sendText(response, text)),
    1,
  )
  const { url } = await startFront(dead, good.upstream)
  const big = 'x'.repeat(200_000)
  for (let at = 0; at < 2; at += 1) {
    expect(await (await fetch(`${url}/v1/completions`, { method: 'POST', body: '{"a":1}' })).text()).toBe('{"a":1}')
    expect(await (await fetch(`${url}/v1/completions`, { method: 'POST', body: big })).text()).toBe(big)
  }
})

test('where every engine refuses the connection the answer is 502', async () => {
  const { url } = await startFront(createUpstream(await freePort()), createUpstream(await freePort(), 1))
  expect((await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' })).status).toBe(502)
})

test('HTTP/1.0 clients get no chunks, HEAD no body, and 1xx of the engine is no answer', async () => {
  const { upstream } = await startEngine((request, response) => {
    response.writeEarlyHints({ link: '</x>; rel=preload' })
    if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': 4 }).end()
    response.writeHead(200)
    response.write('ab')
    response.end('cd')
  })
  const { port } = await startFront(upstream)
  const old = await rawConnect(port, 'GET /v1/x HTTP/1.0\r\n\r\n').closed
  expect(old).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(old).not.toContain('transfer-encoding')
  expect(old).toMatch(/\r\n\r\nabcd$/)
  const head = await rawConnect(port, 'HEAD /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').closed
  expect(head).toMatch(/content-length: 4\r\n/)
  expect(head).toMatch(/\r\n\r\n$/)
})

test('pipelined requests are answered in order', async () => {
  const { upstream } = await startEngine((request, response) => {
    const answer = () => void response.writeHead(200).end(`<${request.url}>`)
    if (request.url === '/v1/a') setTimeout(answer, 30)
    else answer()
  })
  const { port } = await startFront(upstream)
  const one = (path: string, more = '') => `GET /v1/${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
  const got = await rawConnect(port, one('a') + one('b') + one('c', 'Connection: close\r\n')).closed
  expect(got.match(/<[^>]+>/g)).toEqual(['</v1/a>', '</v1/b>', '</v1/c>'])
})

test('a client that waits for 100-continue gets it and its body arrives', async () => {
  const { upstream } = await startEngine((request, response) => {
    expect(request.headers.expect).toBeUndefined()
    void readAll(request).then((text) => sendText(response, text))
  })
  const { port } = await startFront(upstream)
  const asked = httpRequest({ port, method: 'POST', path: '/v1/x', headers: { expect: '100-continue' } })
  asked.flushHeaders()
  await once(asked, 'continue')
  asked.end('the body')
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  expect(await readAll(answer)).toBe('the body')
})

test('engines that are equally idle take requests in turn, a busy one is spared', async () => {
  const asked = [0, 0]
  const one = await startEngine((_request, response) => sendText(response, String((asked[0] = (asked[0] ?? 0) + 1))))
  const two = await startEngine((_request, response) => sendText(response, String((asked[1] = (asked[1] ?? 0) + 1))), 1)
  const { url } = await startFront(one.upstream, two.upstream)
  for (let at = 0; at < 10; at += 1) await (await fetch(`${url}/v1/x`)).text()
  expect(asked).toEqual([5, 5])
  using _busy = one.upstream.begin()
  for (let at = 0; at < 4; at += 1) await (await fetch(`${url}/v1/x`)).text()
  expect(asked).toEqual([5, 9])
})

test('a reused connection that the engine closes meanwhile costs no request', async () => {
  const { upstream, server } = await startEngine((_request, response) => sendText(response, 'ok'))
  const { url } = await startFront(upstream)
  for (let at = 0; at < 20; at += 1) {
    expect(await (await fetch(`${url}/v1/x`, { method: 'POST', body: '{}' })).text()).toBe('ok')
    server.closeIdleConnections()
    await eventually('the connection to be closed', () => countConnections(server).then((count) => count === 0))
  }
})

function countConnections(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
}

test('every byte of odd chunks survives, small and large, with and without a length', async () => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7919) % 256))
  const { upstream } = await startEngine((request, response) => {
    response.writeHead(200, request.url === '/v1/length' ? { 'content-length': bytes.length } : {})
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 5) % 20_011) {
      response.write(bytes.subarray(at, at + size))
      size = Math.max(1, size)
    }
    response.end()
  })
  const { url } = await startFront(upstream)
  const digest = (all: Buffer) => createHash('sha256').update(all).digest('hex')
  for (const path of ['/v1/length', '/v1/chunks']) {
    const got = Buffer.from(await (await fetch(url + path)).arrayBuffer())
    expect(digest(got)).toBe(digest(bytes))
  }
})

test('garbage instead of a request is 400, too large a head 431, and others are served on', async () => {
  const { upstream } = await startEngine((_request, response) => sendText(response, 'ok'))
  const { url, port } = await startFront(upstream)
  expect(await rawConnect(port, '\u0016\u0003\u0001\u0002garbage\r\n\r\n').closed).toMatch(/^HTTP\/1\.1 400 /)
  expect(await rawConnect(port, 'GET /v1/x HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n').closed).toMatch(/^HTTP\/1\.1 400 /)
  const huge = `GET /v1/x HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`
  expect(await rawConnect(port, huge).closed).toMatch(/^HTTP\/1\.1 431 |ECONNRESET|EPIPE/)
  expect(await (await fetch(`${url}/v1/x`)).text()).toBe('ok')
})

test('a thousand slow clients do not keep others waiting', async () => {
  const { upstream } = await startEngine((_request, response) => sendText(response, 'ok'))
  const { url, port } = await startFront(upstream)
  const slow = Array.from({ length: 1000 }, () => {
    const socket = connect(port, '127.0.0.1', () => socket.write('POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Le'))
    socket.on('error', () => {})
    return socket
  })
  await Promise.all(slow.map((socket) => once(socket, 'connect')))
  expect(await (await fetch(`${url}/v1/x`, { signal: AbortSignal.timeout(5000) })).text()).toBe('ok')
  for (const socket of slow) socket.destroy()
})
