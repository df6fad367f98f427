// Memory stays small whatever clients send or fail to read.
import { connect } from 'node:net'
import { request } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { sendText, startEngine, startFront } from './support.ts'

const mib = 1024 * 1024

test('a body of 300 MB streams through and is never held', async () => {
  const { upstream } = await startEngine((asked, response) => {
    let bytes = 0
    asked.on('data', (part: Buffer) => (bytes += part.length))
    asked.once('end', () => sendText(response, String(bytes)))
  })
  const { port } = await startFront(upstream)
  const peak = watchPeak()
  const asked = request({ port, method: 'POST', path: '/v1/files' })
  const answered = once(asked, 'response')
  await pipeline(Readable.from(blocks(300)), asked)
  const [answer] = (await answered) as [Readable]
  expect(Buffer.concat(await answer.toArray()).toString()).toBe(String(300 * mib))
  expect(peak() / mib).toBeLessThan(150)
})

test('a client that does not read holds back the engine instead of filling our memory', async () => {
  const sent = { mib: 0 }
  const { upstream } = await startEngine((_request, response) => {
    const source = Readable.from(blocks(400))
    source.on('data', () => (sent.mib += 1))
    response.writeHead(200)
    pipeline(source, response).catch(() => {})
  })
  const { port } = await startFront(upstream)
  const peak = watchPeak()
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n'))
  socket.pause()
  onTestFinished(() => void socket.destroy())
  const seen = { mib: -1, times: 0 }
  await eventually('the engine to be held back', () => {
    seen.times = sent.mib > 0 && seen.mib === sent.mib ? seen.times + 1 : 0
    seen.mib = sent.mib
    return seen.times > 30
  })
  expect(sent.mib).toBeLessThan(100)
  expect(peak() / mib).toBeLessThan(150)
})

test('an upload that its client breaks off ends at the engine too', async () => {
  const seen = { began: false, aborted: false }
  const { upstream } = await startEngine((asked) => {
    asked.on('data', () => (seen.began = true))
    asked.once('close', () => (seen.aborted = !asked.complete))
  })
  const { port } = await startFront(upstream)
  const head = 'POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'
  const socket = connect(port, '127.0.0.1', () => socket.write(`${head}${'x'.repeat(100_000)}`))
  await eventually('the upload to begin', () => seen.began)
  socket.destroy()
  await eventually('the engine to see it', () => seen.aborted)
  await eventually('the turn to end', () => upstream.inFlight === 0)
})

function* blocks(count: number): Generator<Buffer> {
  for (let at = 0; at < count; at += 1) yield Buffer.alloc(mib, at % 256)
}

/** Growth of what the process holds beyond now, bytes: heap and buffers, which unlike RSS shrink again. */
function watchPeak(): () => number {
  const held = () => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  const before = held()
  const peak = { bytes: before }
  const timer = setInterval(() => (peak.bytes = Math.max(peak.bytes, held())), 5)
  onTestFinished(() => clearInterval(timer))
  return () => peak.bytes - before
}
