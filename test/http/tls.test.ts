import { execFile } from 'node:child_process'
import { rename } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startListener } from '../../src/http/listener.ts'
import { startTlsFiles } from '../../src/http/tls-files.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

async function writeCertificate(folder: string, name: string): Promise<void> {
  const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const [cert, key] = [join(folder, 'new.pem'), join(folder, 'new.key')]
  await promisify(execFile)('openssl', [...how, '-keyout', key, '-out', cert, '-subj', `/CN=${name}`])
  await rename(key, join(folder, 'tls.key'))
  await rename(cert, join(folder, 'tls.pem'))
}

/** The name on the certificate of the listener, and what it answers. */
function ask(port: number): Promise<{ name: string; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false }, (response) => {
      const { subject } = (response.socket as TLSSocket).getPeerCertificate()
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (part: string) => (text += part))
      response.once('end', () => resolve({ name: String(subject.CN), text }))
    })
    call.once('error', reject)
    call.end()
  })
}

test('a listener speaks TLS with the certificate of the moment; bad files leave the last good one', async () => {
  const folder = await tempDir()
  const files = { cert: join(folder, 'tls.pem'), key: join(folder, 'tls.key') }
  const tls = startTlsFiles({ ...files, log: silentLog, every: 20 })
  const listener = startListener({
    name: 'secure',
    host: '127.0.0.1',
    port: 0,
    onRequest: (_request, response) => void response.end('hello'),
    log: silentLog,
    tls: tls.material,
    drainMs: 200,
  })
  onTestFinished(async () => {
    await Promise.all([listener.end('stop'), tls.end('stop')])
  })
  const { port } = await eventually('it listens', () => listener.address.peek())
  await eventually('a problem', () => tls.status.peek().problem?.code === 'tls-files')
  await expect(ask(port)).rejects.toThrow(/handshake|alert|reset|hang up/i)
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow('fetch failed')

  await writeCertificate(folder, 'first')
  await eventually('the first certificate', () => tls.status.peek().health === 'ok')
  expect(await ask(port)).toEqual({ name: 'first', text: 'hello' })

  await rename(files.key, join(folder, 'kept.key'))
  await eventually('a problem', () => tls.status.peek().problem?.code === 'tls-files')
  expect((await ask(port)).name).toBe('first')

  await writeCertificate(folder, 'second')
  await eventually('the second certificate', async () => (await ask(port)).name === 'second')
  expect(tls.status.peek().health).toBe('ok')

  await rename(join(folder, 'kept.key'), files.key)
  await eventually('a key of another certificate', () =>
    /not that of|mismatch/.test(tls.status.peek().problem?.evidence ?? ''),
  )
  expect((await ask(port)).name).toBe('second')
})
