// The client against a service whose certificate no public authority has signed.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { connect, UnreachableError } from '../../src/client/index.ts'
import { startFront } from '../grpc/support.ts'
import { tempDir } from '../support/temp-dir.ts'

const launch = {
  launch_id: 'one',
  model: 'm',
  gpu_ids: [0],
  task: 'generate',
  state: 'stopped',
  created_at: '2026-11-20T22:12:46.781225Z',
  updated_at: '2026-11-20T22:12:46.781225Z',
  error: null,
}

/** REST and gRPC with the same certificate, signed by itself. */
async function startService() {
  const folder = await tempDir()
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=instance', '-addext', 'subjectAltName=IP:127.0.0.1']
  await promisify(execFile)('openssl', [...how, ...names, '-keyout', key, '-out', cert])
  const material = { cert: await readFile(cert), key: await readFile(key) }
  const server = createServer(material, (request, response) => {
    if (request.url === '/launch/one/events') return void response.writeHead(204).end()
    const odd = /^\/status\/(205|999)$/.exec(request.url ?? '')?.[1]
    if (odd) return void response.writeHead(Number(odd)).end()
    const known = request.url === '/status/one'
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(known ? launch : { detail: 'no' }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = await startFront([], { tls: signal(material) })
  const baseUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { ca: material.cert, where: { baseUrl, grpcAddress: `127.0.0.1:${port}`, grpcTls: true } }
}

test('an authority of the caller is trusted by REST, events and gRPC', async () => {
  const { ca, where } = await startService()
  using client = connect({ ...where, ca })
  const one = await client.find('one')
  expect(one.snapshot.launch_id).toBe('one')
  const events: unknown[] = []
  for await (const event of one.events()) events.push(event)
  expect(events).toEqual([])
  await expect(client.find('none')).rejects.toMatchObject({ status: 404, detail: 'no' })
  // Refused by the service behind the handshake.
  await expect(one.complete(['x'])).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test.each(['205', '999'])(
  'status %s, which is none to fetch, is an error of the call and not of the program',
  async (odd) => {
    const { ca, where } = await startService()
    using client = connect({ ...where, ca })
    await expect(client.find(odd)).rejects.toBeInstanceOf(UnreachableError)
  },
)

test('another authority is not, nor is one that nobody named', async () => {
  const [{ where }, { ca }] = await Promise.all([startService(), startService()])
  using nobody = connect(where)
  await expect(nobody.find('one')).rejects.toBeInstanceOf(UnreachableError)
  using other = connect({ ...where, ca })
  await expect(other.find('one')).rejects.toBeInstanceOf(UnreachableError)
  using mixed = connect({ ...where, baseUrl: await startPlain(), ca })
  await expect((await mixed.find('one')).complete(['x'], { timeout: 20_000 })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  })
})

/** REST without TLS. */
async function startPlain(): Promise<string> {
  const server = createPlainServer((_request, response) => void response.end(JSON.stringify(launch)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
