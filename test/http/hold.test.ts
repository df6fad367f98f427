import type { AddressInfo } from 'node:net'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { createHttpServer, type OnRequest } from '../../src/http/server.ts'
import { createHold, holdUntil } from '../../src/http/hold.ts'
import { isCallback } from '../../src/poc/relay.ts'
import { tunnelTimes } from '../../src/tunnel/follow-frpc.ts'
import { createNonce } from '../../src/tunnel/nonce.ts'
import { sendProbe } from '../../src/tunnel/probe.ts'

test('a request that comes before the engines are found again waits for them, its body included', async () => {
  const ready = signal(false)
  const answers: string[] = []
  const { server, port } = await listen(
    holdUntil(ready, (request, response) => {
      void request.toArray().then((chunks) => response.end(Buffer.concat(chunks as Buffer[])))
    }),
  )
  const asked = fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'kept' })
    .then((answer) => answer.text())
    .then((text) => answers.push(text))
  await new Promise((resolve) => server.once('request', resolve))
  expect(answers).toEqual([])
  ready.value = true
  await asked
  expect(answers).toEqual(['kept'])
})

test('a request that comes before the parts are loaded is answered by them as soon as they are ready', async () => {
  const hold = createHold()
  const ready = signal(false)
  const { server, port } = await listen(hold.onRequest)
  const asked = fetch(`http://127.0.0.1:${port}/`).then((answer) => answer.text())
  await new Promise((resolve) => server.once('request', resolve))
  hold.open(ready, (_request, response) => response.end('here'))
  ready.value = true
  expect(await asked).toBe('here')
})

test('what proves a tunnel waits for no engine: its answer would come too late, and the frp server be called frozen', async () => {
  const hold = createHold()
  const { port } = await listen(hold.onRequest)
  const nonce = createNonce()
  const handle: OnRequest = (request, response) => void response.end(nonce.answer(request.url ?? ''))
  hold.open(signal(false), handle, (url) => nonce.answer(url) !== undefined)
  const target = { host: '127.0.0.1', port }
  expect(await sendProbe(target, nonce.value, tunnelTimes.probeTimeout, AbortSignal.timeout(20_000))).toEqual({
    kind: 'proved',
  })
})

test('a batch of an engine waits for no engine: after 10 s it would be repeated, and come twice', async () => {
  const hold = createHold()
  const { server, port } = await listen(hold.onRequest)
  const url = `http://127.0.0.1:${port}/api/v1/inference/pow/callback-relay/${'a'.repeat(32)}-0/generated`
  const send = async () => {
    const answer = await fetch(url, { method: 'POST', body: '{}', signal: AbortSignal.timeout(10_000) })
    return answer.text()
  }
  // The first one waited at the port, and is there before the parts are loaded.
  const first = send()
  await new Promise((resolve) => server.once('request', resolve))
  hold.open(signal(false), (_request, response) => response.end('taken'), isCallback)
  expect(await Promise.all([first, send()])).toEqual(['taken', 'taken'])
})

async function listen(onRequest: OnRequest) {
  const server = createHttpServer(onRequest)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { server, port: (server.address() as AddressInfo).port }
}
