// Callbacks over mutual TLS (contracts/node-api.md 1.11): with real certificates and a server that insists on them.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { createRelay, type RelayTls } from '../../src/poc/relay.ts'
import { tempDir } from '../support/temp-dir.ts'

const run = promisify(execFile)

async function writeCertificate(folder: string, name: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await run('openssl', [...how, '-keyout', key, '-out', cert, ...names])
  return { cert, key }
}

async function callbackServer(server: { cert: string; key: string }, client: { cert: string }): Promise<string> {
  const [cert, key, ca] = await Promise.all([server.cert, server.key, client.cert].map((path) => readFile(path)))
  const options = { cert, key, ca, requestCert: true, rejectUnauthorized: true }
  const listening = createServer(options, (request, response) => void request.resume().on('end', () => response.end()))
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    listening.closeAllConnections()
    listening.close()
  })
  return `https://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

async function relayTo(url: string, tls: RelayTls) {
  const options = { origin: 'http://127.0.0.1:1', tls, stateDir: await tempDir(), log: silentLog, clock: systemClock }
  const relay = createRelay(options)
  onTestFinished(() => relay.close())
  await relay.ready
  const token = relay.urlFor(url, 0)?.split('/').at(-1) ?? ''
  return () => relay.forward({ token, suffix: 'generated', headers: {}, body: Readable.from(['{}']) })
}

test('a callback server that wants a certificate gets ours, and one that is renewed on disk counts at the next try', async () => {
  const folder = await tempDir()
  const [server, client] = await Promise.all([writeCertificate(folder, 'server'), writeCertificate(folder, 'client')])
  const url = await callbackServer(server, client)
  const paths = { cert: join(folder, 'late.pem'), key: client.key, ca: server.cert }
  const forward = await relayTo(url, paths)
  expect(await forward()).toMatchObject({ status: 502 })
  await run('cp', [client.cert, paths.cert])
  expect(await forward()).toMatchObject({ status: 200 })
})

test('without a certificate such a server refuses us, and the engine hears 502', async () => {
  const folder = await tempDir()
  const [server, client] = await Promise.all([writeCertificate(folder, 'server'), writeCertificate(folder, 'client')])
  const forward = await relayTo(await callbackServer(server, client), { ca: server.cert })
  expect(await forward()).toMatchObject({ status: 502 })
})
