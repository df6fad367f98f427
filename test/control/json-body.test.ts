import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { readJsonBody } from '../../src/control/json-body.ts'
import { Refusal } from '../../src/core/errors.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { freePort } from '../support/free-port.ts'

test('a body that comes byte by byte is 408 after its time, and its connection ends', async () => {
  const read: unknown[] = []
  const server = createHttpServer((request, response) => {
    readJsonBody(request, response, 300).then(
      (body) => void read.push(body),
      (error: unknown) => {
        if (!(error instanceof Refusal)) return
        response.writeHead(error.status, { connection: 'close' }).end()
      },
    )
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const client = connect(port, '127.0.0.1')
  client.write('POST /launch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\n{')
  const dripping = setInterval(() => client.write(' '), 20)
  // A drop may still be on its way when the server has closed: that is no failure of what it answered.
  client.on('error', () => {})
  onTestFinished(() => clearInterval(dripping))
  let told = ''
  client.on('data', (piece: Buffer) => (told += piece.toString()))
  await new Promise((resolve) => client.once('close', resolve))
  expect(told).toContain('HTTP/1.1 408')
  expect(told).toContain('{"detail":"Request Timeout"}')
  expect(read).toEqual([])

  // The declared length does not buy time.
  const long = connect(port, '127.0.0.1')
  long.write('POST /launch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n{')
  onTestFinished(() => void long.destroy())
  expect(String(await new Promise((resolve) => long.once('data', resolve)))).toContain('HTTP/1.1 413')
})
