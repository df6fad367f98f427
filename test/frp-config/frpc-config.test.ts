import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  checkFrpc,
  type FrpcConfig,
  FrpcConfigError,
  judgeVersion,
  parseFrpc,
  renderFrpc,
} from '../../src/frp-config/frpc-config.ts'
import { findFrp } from '../support/frp-programs.ts'
import { tempDir } from '../support/temp-dir.ts'

const full: FrpcConfig = {
  serverAddr: 'frps.example',
  serverPort: 7000,
  user: '0042',
  loginFailExit: false,
  auth: { tokenSource: { type: 'file', file: { path: '/tmp/token' } } },
  metadatas: { instanceId: 'i-0abc' },
  transport: { protocol: 'tcp', tcpMux: true, tls: { enable: true } },
  webServer: { addr: '127.0.0.1', port: 7400, user: 'gonka', password: 'pass"word' },
  log: { to: 'console', level: 'info', disablePrintColor: true },
  proxies: [
    { name: 'i-0abc-inference', type: 'tcp', localIP: '127.0.0.1', localPort: 5000, remotePort: 10042 },
    { name: 'i-0abc-node', type: 'tcp', localIP: '127.0.0.1', localPort: 8080, remotePort: 20042 },
  ],
}

test('a configuration renders to the same TOML every time', () => {
  expect(renderFrpc(full)).toMatchInlineSnapshot(`
    "serverAddr = "frps.example"
    serverPort = 7000
    user = "0042"
    loginFailExit = false

    [auth.tokenSource]
    type = "file"

    [auth.tokenSource.file]
    path = "/tmp/token"

    [metadatas]
    instanceId = "i-0abc"

    [transport]
    protocol = "tcp"
    tcpMux = true

    [transport.tls]
    enable = true

    [webServer]
    addr = "127.0.0.1"
    port = 7400
    user = "gonka"
    password = "pass\\"word"

    [log]
    to = "console"
    level = "info"
    disablePrintColor = true

    [[proxies]]
    name = "i-0abc-inference"
    type = "tcp"
    localIP = "127.0.0.1"
    localPort = 5000
    remotePort = 10042

    [[proxies]]
    name = "i-0abc-node"
    type = "tcp"
    localIP = "127.0.0.1"
    localPort = 8080
    remotePort = 20042
    "
  `)
})

test('what is rendered is read back unchanged', () => {
  expect(parseFrpc(renderFrpc(full))).toEqual({ ok: true, config: full })
})

test('any token without a template survives TOML', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (token) => {
      fc.pre(!token.includes('{{') && token.isWellFormed())
      const config = { ...full, auth: { token } }
      expect(parseFrpc(renderFrpc(config))).toEqual({ ok: true, config })
    }),
  )
})

describe('refused, with the key and the reason', () => {
  const proxy = { name: 'a', type: 'tcp' as const, localPort: 1, remotePort: 2 }
  test.each<[string, unknown, string]>([
    ['an unknown key', { ...full, bogus: 1 }, 'bogus: unknown key'],
    [
      'an unknown nested key',
      { ...full, proxies: [{ ...proxy, remoteport: 1 }] },
      'proxies[0].remoteport: unknown key',
    ],
    ['a template in a token', { ...full, auth: { token: 'a{{b' } }, 'auth.token: holds "{{"'],
    ['a template in a key', { ...full, metadatas: { '{{x': 'y' } }, 'metadatas.{{x: holds "{{"'],
    ['a port above the range', { ...full, serverPort: 65_536 }, 'serverPort: '],
    ['a remote port below the range', { ...full, proxies: [{ ...proxy, remotePort: -1 }] }, 'proxies[0].remotePort: '],
    [
      'two proxies of one name',
      { ...full, proxies: [proxy, { ...proxy, remotePort: 3 }] },
      'proxies[1].name: "a" is the name of proxies[0] already',
    ],
    [
      'two proxies of one remote port',
      { ...full, proxies: [proxy, { ...proxy, name: 'b' }] },
      'proxies[1].remotePort: tcp 2 is',
    ],
    [
      'token and tokenSource',
      { ...full, auth: { ...full.auth, token: 't' } },
      'auth: token and tokenSource are both set',
    ],
    [
      'a heartbeat that times out before it beats',
      { ...full, transport: { heartbeatInterval: 30, heartbeatTimeout: 10 } },
      'transport.heartbeatTimeout: 10 s is less',
    ],
    ['oidc without its settings', { ...full, auth: { method: 'oidc' } }, 'auth.oidc: missing'],
    [
      'an http health check without a path',
      { ...full, proxies: [{ ...proxy, healthCheck: { type: 'http' } }] },
      'proxies[0].healthCheck.path: missing',
    ],
    ['a start that names nobody', { ...full, start: ['nobody'] }, 'start[0]: no proxy is named "nobody"'],
    ['no server', { serverPort: 7000 }, 'serverAddr: '],
    ['nothing at all', undefined, 'configuration: '],
  ])('%s', (_what, value, problem) => {
    const checked = checkFrpc(value)
    expect(checked).toMatchObject({ ok: false })
    expect(checked.ok ? [] : checked.problems).toContainEqual(expect.stringContaining(problem))
  })

  test('all problems are told at once, and none tells the token', () => {
    const checked = checkFrpc({
      ...full,
      auth: { token: 'very-secret{{' },
      transport: { heartbeatInterval: 9, heartbeatTimeout: 1 },
    })
    const problems = checked.ok ? [] : checked.problems
    expect(problems).toHaveLength(2)
    expect(problems.join()).not.toContain('very-secret')
  })

  test('a broken configuration is never rendered', () => {
    expect(() => renderFrpc({ ...full, serverPort: 0 })).toThrow(FrpcConfigError)
  })

  test('a text that is no TOML is told by line and column', () => {
    expect(parseFrpc('serverPort = \nuser="a"')).toMatchObject({
      ok: false,
      problems: [expect.stringMatching(/^line 1, column/)],
    })
  })
})

test('a version says which keys it is too old for', () => {
  expect(judgeVersion(full, '0.70.1')).toEqual([])
  expect(judgeVersion(full, '0.63.0')).toEqual(['auth.tokenSource needs frpc 0.64.0, this is 0.63.0'])
  expect(judgeVersion({ serverAddr: 'a', serverPort: 1 }, '0.51.3')).toEqual([
    'a TOML configuration needs frpc 0.52.0, this is 0.51.3',
  ])
  expect(judgeVersion(full, '1.0.0')).toEqual([])
})

const real = findFrp()
test.skipIf(!real.found)(`real frpc verifies what we render${real.found ? '' : ` (${real.why})`}`, async () => {
  if (!real.found) return
  const folder = await tempDir()
  const path = join(folder, 'frpc.toml')
  await writeFile(join(folder, 'token'), 'secret')
  const source = { type: 'file' as const, file: { path: join(folder, 'token') } }
  await writeFile(path, renderFrpc({ ...full, auth: { tokenSource: source } }))
  expect(execFileSync(real.frpc, ['verify', '-c', path], { encoding: 'utf8' })).toContain('syntax is ok')
})
