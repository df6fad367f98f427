// All of :8080 together: the chain's version in front of paths, inference, the nonce, and bodies that are too much.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { signal } from '@preact/signals-core'
import { request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { createNodeApp } from '../../src/mlnode/node-app.ts'
import { startPoc } from '../../src/poc/poc.ts'
import { createNonce, noncePath } from '../../src/tunnel/nonce.ts'
import { tempDir } from '../support/temp-dir.ts'
import { call, createFleet, noModels } from '../poc/world.ts'

async function startApp() {
  const fleet = createFleet(1)
  const nonce = createNonce()
  const poc = startPoc({
    fleet,
    stateDir: await tempDir(),
    bootId: 'boot',
    profile: () => undefined,
    relayOrigin: undefined,
    log: silentLog,
  })
  onTestFinished(() => poc.end('restart'))
  const app = createNodeApp({
    proxy: (_request, response, path) => response.end(JSON.stringify({ proxied: path })),
    nonce,
    version: '1.2.3',
    fleet,
    poc,
    inventory: signal({ kind: 'unknown' as const }),
    models: noModels,
    launched: () => undefined,
    metrics: 'full',
    log: silentLog,
    clock: systemClock,
  })
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, nonce }
}

const get = (url: string) => call(url, undefined, 'GET')

test('answers come from the first moment, with and without the chain version', async () => {
  const { url } = await startApp()
  const plain = await get(`${url}/api/v1/state`)
  expect(plain).toMatchObject({ status: 200, body: { state: 'INFERENCE' } })
  for (const prefix of ['/v3.0.8', '/v0.2.14-post1']) expect(await get(`${url}${prefix}/api/v1/state`)).toEqual(plain)
  expect(await get(`${url}/v3.0.8/readyz`)).toEqual({ status: 200, body: { ready: true } })
  expect(await call(`${url}/v3.0.8/api/v1/stop`)).toEqual({ status: 200, body: { status: 'OK' } })
})

test('inference goes to the engines, and the nonce proves the tunnel', async () => {
  const { url, nonce } = await startApp()
  expect((await get(`${url}/v3.0.8/v1/models?x=1`)).body).toEqual({ proxied: '/v1/models?x=1' })
  expect((await get(`${url}${noncePath}`)).body).toEqual({ nonce: nonce.value })
})

test('a body that is too long is refused before it is read', async () => {
  const { url } = await startApp()
  const body = new Readable({ read() {} })
  body.push(Buffer.alloc(1024))
  const answer = await request(`${url}/api/v1/inference/up`, {
    method: 'POST',
    headers: { 'content-length': String(2 * 2 ** 30) },
    body,
    signal: AbortSignal.timeout(30_000),
  })
  expect(answer.statusCode).toBe(413)
})
