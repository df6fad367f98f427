import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseFrpcLog } from '../../src/tunnel/frpc-log.ts'
import { judgeLoginError, judgeTunnel, type Seen } from '../../src/tunnel/judge-tunnel.ts'
import { judgePaired, pairServers } from '../../src/tunnel/pairing.ts'
import { digestWish, judgeFrpc, keyOf, planFrpc, proxyNames, remotePorts } from '../../src/tunnel/plan-frpc.ts'
import { checkFrpc } from '../../src/frp-config/frpc-config.ts'
import { type Probe, sendProbe } from '../../src/tunnel/probe.ts'

const proved: Probe = { kind: 'proved' }
const refused: Probe = { kind: 'refused', why: 'refuses connections' }
const running = [
  { name: 'a-inference', status: 'running', err: '' },
  { name: 'a-node', status: 'running', err: '' },
]
const seen = (over: Partial<Seen> = {}): Seen => ({
  age: 1000,
  admin: { kind: 'status', proxies: running },
  log: {},
  names: proxyNames('a'),
  addresses: { inference: 'frps:10042', node: 'frps:20042' },
  probes: { inference: proved, node: proved },
  everProved: false,
  ...over,
})

describe('a tunnel is', () => {
  const startError = (err: string) => ({
    admin: { kind: 'status' as const, proxies: [running[0]!, { name: 'a-node', status: 'start error', err }] },
  })
  const out = { kind: 'status' as const, proxies: [] }
  test.each<[string, Partial<Seen>, string, string | undefined]>([
    ['proved when both ways back are', {}, 'proved', undefined],
    ['starting until both were tried', { probes: {} }, 'starting', undefined],
    [
      'unproved when no port can be reached from here',
      { probes: { inference: refused, node: refused } },
      'unproved',
      undefined,
    ],
    [
      'down when one port is closed and the other one is proved',
      { probes: { inference: proved, node: refused } },
      'down',
      'tunnel-port-closed',
    ],
    [
      'down when a port that was reached before is closed',
      { probes: { inference: refused, node: refused }, everProved: true },
      'down',
      'tunnel-port-closed',
    ],
    [
      'down with its server when that cannot be reached either, although frpc says running',
      { probes: { inference: refused, node: refused }, everProved: true, serverGone: 'refuses connections' },
      'down',
      'frps-unreachable',
    ],
    [
      'unproved when nothing there was ever reached from here, not even its server',
      { probes: { inference: refused, node: refused }, serverGone: 'refuses connections' },
      'unproved',
      undefined,
    ],
    [
      'down when another node answers, whatever else is true',
      { probes: { inference: refused, node: { kind: 'foreign', why: 'x' } } },
      'down',
      'tunnel-reaches-another-node',
    ],
    [
      'down when nothing is answered',
      { probes: { inference: proved, node: { kind: 'silent', why: 'x' } } },
      'down',
      'frps-frozen',
    ],
    [
      'down when connections are closed',
      { probes: { inference: proved, node: { kind: 'empty', why: 'x' } } },
      'down',
      'tunnel-no-answer',
    ],
    ['down when a port is held by another client', startError('port already used'), 'down', 'tunnel-port-taken'],
    ['down when a port is held by a program', startError('port unavailable'), 'down', 'tunnel-port-bound'],
    ['down when a port is not allowed', startError('port not allowed'), 'down', 'tunnel-port-not-allowed'],
    ['down when its name is taken', startError('proxy [0042.a-node] already exists'), 'down', 'tunnel-name-taken'],
    [
      'down when there are no ports left',
      startError('exceed the max_ports_per_client'),
      'down',
      'tunnel-ports-exceeded',
    ],
    ['down for a reason that nobody knows', startError('the moon'), 'down', 'tunnel-refused'],
    ['starting while frpc starts', { admin: { kind: 'silent', why: 'x' } }, 'starting', undefined],
    ['down when the admin API stays silent', { admin: { kind: 'silent', why: 'x' }, age: 6000 }, 'down', 'frpc-silent'],
    ['starting while frpc logs in', { admin: out }, 'starting', undefined],
    ['down when the session of a proved tunnel is gone', { admin: out, everProved: true }, 'down', 'frps-unreachable'],
    [
      'down with its server when that cut off the first login after the session',
      { admin: out, everProved: true, log: { loginError: 'EOF', loginErrors: 1 } },
      'down',
      'frps-unreachable',
    ],
    [
      'down when the server cuts off one login after the other',
      { admin: out, everProved: true, log: { loginError: 'EOF', loginErrors: 2 } },
      'down',
      'frps-mismatch',
    ],
    [
      'down when the server cuts off the very first login',
      { admin: out, log: { loginError: 'EOF', loginErrors: 1 } },
      'down',
      'frps-mismatch',
    ],
    [
      'down when frpc does not get in for long and does not say why',
      { admin: out, age: 11_000 },
      'down',
      'frps-unreachable',
    ],
  ])('%s', (_what, over, phase, code) => {
    const verdict = judgeTunnel(seen(over))
    expect([verdict.phase, verdict.problem?.code]).toEqual([phase, code])
  })
})

test.each([
  ["token in login doesn't match token from configuration", 'frps-token-refused'],
  ['dial tcp 127.0.0.1:7000: connect: connection refused', 'frps-unreachable'],
  ['dial tcp 10.0.0.1:7000: i/o timeout', 'frps-unreachable'],
  ['dial tcp: lookup frps.invalid on 10.0.0.2:53: no such host', 'frps-unreachable'],
  ['connection write timeout', 'frps-frozen'],
  ['EOF', 'frps-mismatch'],
  ['session shutdown', 'frps-mismatch'],
  ['tls: first record does not look like a TLS handshake', 'frps-mismatch'],
  ['x509: certificate signed by unknown authority', 'frps-mismatch'],
  ['client_id [x] for user [y] is already online', 'frps-login-refused'],
])('login error "%s" is %s', (cause, code) => {
  expect(judgeLoginError(cause)).toBe(code)
})

test('only what happened after the last login counts', () => {
  const failed = '2026-07-23 12:00:00.123 [W] [client/service.go:323] [r] connect to server error: EOF'
  const success = '2026-07-23 12:00:01.123 [I] [client/service.go:306] [r] login to server success, get run id [r]'
  expect(parseFrpcLog([failed, success]).loginError).toBeUndefined()
  expect(parseFrpcLog([failed, success, failed, failed])).toMatchObject({ loginError: 'EOF', loginErrors: 2 })
  expect(parseFrpcLog([]).last).toBeUndefined()
})

test('a tunnel that leads to another program is a symptom, where somebody has our own port', () => {
  const foreign: Probe = { kind: 'foreign', why: 'answers 404' }
  expect(judgeTunnel(seen({ probes: { inference: proved, node: foreign } })).problem).toMatchObject({
    code: 'tunnel-reaches-another-node',
    dependsOn: 'port-taken',
  })
})

test('last words come with their time: they may be old', () => {
  const line = '2026-07-23 12:00:00.123 [I] [client/control.go:168] [r] [a-node] start proxy success'
  const log = parseFrpcLog([line])
  const { problem } = judgeTunnel(seen({ age: 60_000, admin: { kind: 'status', proxies: [] }, log }))
  expect(problem?.evidence).toMatch(/^frpc is not logged in; its last words at 12:00:00: .*start proxy success$/)
  expect(parseFrpcLog([line, 'panic: no time']).lastAt).toBeUndefined()
})

test('a time limit is told in whole milliseconds', async () => {
  const mute = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void mute.close())
  await once(mute, 'listening')
  const { port } = mute.address() as AddressInfo
  const probe = await sendProbe({ host: '127.0.0.1', port }, 'n', 50.714_370_000_1, new AbortController().signal)
  expect(probe).toEqual({ kind: 'silent', why: 'accepts connections and does not answer within 51 ms' })
})

test('servers pair by position when there are as many, otherwise any serves any', () => {
  expect(pairServers(2, 2)).toEqual([[0], [1]])
  expect(pairServers(2, 3)).toEqual([
    [0, 1, 2],
    [0, 1, 2],
  ])
  expect(pairServers(2, 0)).toEqual([[], []])
  const view = { server: { host: 'a', port: 1 }, inferenceRemotePort: 1, nodeRemotePort: 2, since: '' }
  const views = [
    { ...view, phase: 'proved' as const },
    { ...view, phase: 'down' as const },
  ]
  expect(judgePaired(views, [0])).toBe('up')
  expect(judgePaired(views, [1])).toBe('waiting')
})

const wish = {
  server: { host: 'fd00::1', port: 7000 },
  token: 'secret-token',
  clientId: '0042',
  instanceId: 'i-0abc',
  local: { inference: { host: '127.0.0.1', port: 5000 }, node: { host: '127.0.0.1', port: 8080 } },
}

test('both ports of a client id are tunnelled to their listeners', () => {
  expect(remotePorts('0042')).toEqual({ inference: 10_042, node: 20_042 })
  const config = planFrpc(wish, { tokenPath: '/t', admin: { port: 7400, user: 'u', password: 'p' } })
  expect(checkFrpc(config)).toMatchObject({ ok: true })
  expect(config.proxies?.map((one) => [one.localPort, one.remotePort])).toEqual([
    [5000, 10_042],
    [8080, 20_042],
  ])
  expect(config.loginFailExit).toBe(false)
})

test('names are unique per instance and safe whatever the instance is called', () => {
  expect(proxyNames('i-0abc').node).toBe('i-0abc-node')
  expect(proxyNames('../ä b').node).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*-node$/)
  expect(keyOf({ host: 'a.b', port: 1 })).not.toBe(keyOf({ host: 'a-b', port: 1 }))
})

test('a wish changes its digest with anything that matters, and the digest hides the token', () => {
  const same = digestWish({ ...wish })
  expect(same).toBe(digestWish(wish))
  for (const other of [
    { ...wish, token: 'x' },
    { ...wish, clientId: '0043' },
    { ...wish, instanceId: 'i-1' },
  ])
    expect(digestWish(other)).not.toBe(same)
  expect(same).not.toContain('secret')
})

test('an old frpc gets its token in the file, a too old one nothing', () => {
  expect(judgeFrpc('0.70.1')).toEqual({ tokenFrom: 'file' })
  expect(judgeFrpc('0.61.2')).toEqual({ tokenFrom: 'toml' })
  expect(judgeFrpc('0.51.0')).toMatchObject({ tooOld: expect.stringContaining('0.52.0') })
})
