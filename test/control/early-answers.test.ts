// Answers that are given before a body is read: their clients may send all of it before they read.
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { peekModel } from '../../src/control/peek-model.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { startBed } from './bed.ts'
import { startEngine } from './two-launches.ts'

const size = 20_000_000
const long = Buffer.concat([Buffer.from('{"model":"tiny","prompt":"'), Buffer.alloc(size, 'x')])

/** Sends all of `body` before it reads, and then asks for more on the same connection. @returns the two statuses */
async function sendFirst(port: number, body: Buffer): Promise<string[]> {
  const socket = connect(port, '127.0.0.1').pause()
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  const head = ['POST /v1/chat/completions HTTP/1.1', 'host: localhost', 'content-type: application/json']
  socket.write(`${[...head, `content-length: ${body.length}`].join('\r\n')}\r\n\r\n`)
  const sent = { all: false }
  socket.write(body, () => (sent.all = true))
  await eventually('all to be sent', () => sent.all)
  let heard = ''
  socket.on('data', (text: Buffer) => (heard += text.toString()))
  socket.resume()
  socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n')
  const statuses = () => [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status = '']) => status)
  await eventually('both answers', () => statuses().length === 2)
  return statuses()
}

test('of a model that nobody has, 404 before 20 MB are read', async () => {
  const { port } = await startBed()
  expect((await sendFirst(port, long))[0]).toBe('404')
})

test('of a model that loads, 503 before 20 MB are read', async () => {
  const { launches, port } = await startBed()
  launches.add('a', { model: 'tiny' })
  expect((await sendFirst(port, long))[0]).toBe('503')
})

test('of an engine that refuses the connection, 502 before 20 MB are read', async () => {
  const { launches, port } = await startBed()
  launches.add('a', { model: 'tiny', state: 'ready' })
  launches.serve('a', await freePort())
  expect((await sendFirst(port, long))[0]).toBe('502')
})

test('where the only idle engine refuses the connection, one that mines answers', async () => {
  const mining = await startEngine('mining')
  const { launches, call } = await startBed({ isMining: ({ port }) => port === mining })
  launches.add('a', { model: 'tiny', state: 'ready' })
  launches.serve('a', await freePort())
  launches.serve('a', mining)
  const headers = { 'content-type': 'application/json' }
  const { status, text } = await call('POST', '/v1/completions', { body: '{"model":"tiny"}', headers })
  expect([status, JSON.parse(text)]).toMatchObject([200, { name: 'mining' }])
})

test('a client that stops sending, before its model is known or behind it, is 408 and its connection ends', async () => {
  const server = createHttpServer((request, response) => {
    peekModel({ request, response, takeRoom: async () => undefined, idleMs: 200 }).catch(() => {})
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  for (const begun of ['{"prompt":"', '{"model":"tiny","prompt":"']) {
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    let heard = ''
    socket.on('data', (text: Buffer) => (heard += text.toString()))
    const ended = new Promise((resolve) => socket.once('end', resolve))
    socket.write(`POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\n\r\n${begun}`)
    await ended
    expect(heard).toMatch(/^HTTP\/1\.1 408 [^]*"type":"timeout"/)
  }
})
