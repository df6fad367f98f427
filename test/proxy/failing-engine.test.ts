// What the data path tells the life of an engine: which failures are the engine's own.
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { rawConnect, startEngine, startFront } from './support.ts'

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
