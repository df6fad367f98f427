import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { createHttpServer } from '../../src/http/server.ts'
import { createTraffic } from '../../src/http/traffic.ts'
import { freePort } from '../support/free-port.ts'

test('who is answered and goes on with a body that nobody wants loses the connection, and nobody else does', async () => {
  const traffic = createTraffic(300)
  const server = createHttpServer((request, response) => {
    traffic.note(response)
    request.resume()
    response.writeHead(401, { 'content-length': 0 }).end()
  })
  server.on('connection', (socket) => traffic.connect(socket))
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const open = (head: string) => {
    const client = connect(port, '127.0.0.1')
    client.on('error', () => {})
    onTestFinished(() => void client.destroy())
    client.write(`POST / HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n`)
    return client
  }
  const whole = open('content-length: 0')
  const dripping = open('content-length: 5000')
  const drip = setInterval(() => dripping.write(' '), 20)
  onTestFinished(() => clearInterval(drip))
  expect(await text(dripping)).toContain('HTTP/1.1 401')
  expect(whole.readyState).toBe('open')
})
