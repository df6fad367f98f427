// Who may come in: by which name the listener is called, from which page, and with which key.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startAccess } from '../../src/http/access.ts'
import { judgeCall } from '../../src/http/host-check.ts'
import { startBed } from './bed.ts'

const loopback = { bind: '127.0.0.1', allowed: [] }

test.each([
  [undefined, loopback, undefined],
  ['localhost:8000', loopback, undefined],
  ['LOCALHOST', loopback, undefined],
  ['localhost.:8000', loopback, undefined],
  ['127.0.0.1:9', loopback, undefined],
  ['[::1]:8000', { bind: '::1', allowed: [] }, undefined],
  ['evil.example:8000', loopback, 421],
  ['127.0.0.1.evil.example', loopback, 421],
  ['localhost.evil.example', loopback, 421],
  ['', loopback, 421],
  ['node.example:443', { bind: '127.0.0.1', allowed: ['Node.example'] }, undefined],
  ['any.example', { bind: '0.0.0.0', allowed: [] }, undefined],
  ['any.example', { bind: '0.0.0.0', allowed: ['node.example'] }, 421],
])('called as %s with %j: %s', (host, rules, status) => {
  expect(judgeCall({ host }, rules)?.status).toBe(status)
})

test.each([
  [undefined, undefined],
  ['http://localhost:8000', undefined],
  ['http://localhost:3000', 403],
  ['https://evil.example', 403],
  ['null', 403],
  ['https://panel.example', undefined],
])('a page of %s: %s', (origin, status) => {
  const rules = { bind: '127.0.0.1', allowed: ['panel.example'] }
  expect(judgeCall({ host: 'localhost:8000', origin }, rules)?.status).toBe(status)
})

test('every path wants the key but those of probes, and every path wants a name of ours', async () => {
  const access = startAccess({ accessKey: 'key', accessKeyFile: undefined, log: silentLog })
  onTestFinished(() => access.end('stop'))
  const bed = await startBed({ access })
  for (const path of [
    '/',
    '/launch',
    '/docs',
    '/openapi.json',
    '/nope',
    '/stats',
    '/v1/models',
    '/version',
    '/launch/a/v1/x',
  ]) {
    const { status, text, headers } = await bed.call('GET', path)
    expect([path, status, text, headers['www-authenticate']]).toEqual([
      path,
      401,
      '{"detail":"Unauthorized"}',
      'Basic realm="vllm-bootstrap"',
    ])
  }
  for (const path of ['/livez', '/healthz', '/health']) expect((await bed.call('GET', path)).status).not.toBe(401)
  const authorization = `Basic ${Buffer.from('me:key').toString('base64')}`
  expect((await bed.call('GET', '/launch', { headers: { authorization } })).status).toBe(200)
  const strange = await bed.call('GET', '/launch', { headers: { authorization, host: 'evil.example' } })
  expect([strange.status, strange.text]).toEqual([421, expect.stringContaining('CONTROL_ALLOWED_HOSTS')])
  const foreign = await bed.call('OPTIONS', '/v1/models', {
    headers: { authorization, origin: 'https://evil.example' },
  })
  expect([foreign.status, foreign.headers['access-control-allow-origin']]).toEqual([403, undefined])
})

test("our key stays here; where there is none, the header is the engine's", async () => {
  const seen: (string | undefined)[] = []
  const engine = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{}')
  })
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', () => resolve()))
  onTestFinished(() => void engine.close())
  for (const accessKey of ['key', undefined]) {
    const access = startAccess({ accessKey, accessKeyFile: undefined, log: silentLog })
    onTestFinished(() => access.end('stop'))
    const bed = await startBed({ access })
    bed.launches.add('a', { state: 'ready' })
    bed.launches.serve('a', (engine.address() as AddressInfo).port)
    await bed.call('GET', '/launch/a/v1/completions', { headers: { Authorization: 'Bearer key' } })
  }
  expect(seen).toEqual([undefined, 'Bearer key'])
})

test('who guesses keys is told to wait, and how long', async () => {
  const access = startAccess({ accessKey: 'key', accessKeyFile: undefined, log: silentLog })
  onTestFinished(() => access.end('stop'))
  const bed = await startBed({ access })
  const guess = (key: string) => bed.call('GET', '/launch', { headers: { authorization: `Bearer ${key}` } })
  const all = await Promise.all(Array.from({ length: 60 }, (_, at) => guess(`guess-${at}`)))
  expect(all.some(({ status }) => status === 401)).toBe(true)
  const limited = all.find(({ status }) => status === 429)
  expect(Number(limited?.headers['retry-after'])).toBeGreaterThan(0)
  expect((await bed.call('GET', '/launch')).status).toBe(401)
})
