// The launch service put together from its settings: what stands between a stranger and the machine is really wired in.
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { startControl } from '../../src/control/control.ts'
import { noFdStore } from '../../src/core/fd-store.ts'
import { createLog } from '../../src/core/log.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { eventually } from '../support/eventually.ts'
import { configOf } from '../support/config-of.ts'
import { freePort } from '../support/free-port.ts'
import { callOn, createFakeLaunches } from './bed.ts'

async function start(variables: Readonly<Record<string, string>>) {
  const port = await freePort()
  const said: string[] = []
  const secrets = createSecrets()
  const log = createLog({ level: 'debug', secrets, write: (line) => void said.push(line) })
  const { listener, parts } = startControl({
    config: configOf({ PORT: String(port), ...variables }),
    launches: createFakeLaunches(),
    isMining: () => false,
    upstreams: signal([]),
    settled: signal(true),
    fdStore: noFdStore,
    secrets,
    drainMs: 0,
    part: () => log,
  })
  onTestFinished(async () => {
    for (const one of parts.toReversed()) await one.end('stop')
  })
  const opens = () => eventually('it listens', () => listener.status.value.health === 'ok')
  return { listener, call: callOn(port), opens, said }
}

test('beyond loopback it stays closed without a key, and says why; with one it opens, and asks for it', async () => {
  const closed = await start({ HOST: '0.0.0.0' })
  expect(closed.listener.status.value).toMatchObject({ health: 'degraded', problem: { code: 'control-refused' } })
  await expect(closed.call('GET', '/livez')).rejects.toThrow('ECONNREFUSED')
  const open = await start({ HOST: '0.0.0.0', VLLM_ACCESS_KEY: 'a key of more than twenty characters' })
  await open.opens()
  expect((await open.call('GET', '/launch')).status).toBe(401)
})

test('CONTROL_SAFE_KWARGS_ONLY refuses arguments that load code', async () => {
  const body = JSON.stringify({ model: 'm', extra_kwargs: { trust_remote_code: true } })
  const headers = { 'content-type': 'application/json' }
  const safe = await start({ CONTROL_SAFE_KWARGS_ONLY: 'true' })
  const usual = await start({})
  await Promise.all([safe.opens(), usual.opens()])
  expect((await safe.call('POST', '/launch', { body, headers })).status).toBe(400)
  expect((await usual.call('POST', '/launch', { body, headers })).status).toBe(201)
})

test('arguments that load code or read files are logged by name and never by value, others not at all', async () => {
  const { call, opens, said } = await start({})
  await opens()
  const secret = 'xoxb-12345-hush'
  const kwargs = {
    trust_remote_code: true,
    'Download-Dir': `/mnt/${secret}`,
    middleware: [secret],
    tool_parser_plugin: `/plugins/${secret}.py`,
    'speculative_config.model': secret,
    max_model_len: 4096,
    seed: null,
  }
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ model: 'm', extra_kwargs: kwargs })
  expect((await call('POST', '/launch', { body, headers })).status).toBe(201)
  const plain = JSON.stringify({ model: 'm', extra_kwargs: { max_model_len: 4096 } })
  expect((await call('POST', '/launch', { body: plain, headers })).status).toBe(201)
  const lines = said.filter((line) => line.includes('may load code or read files')).map((line) => JSON.parse(line))
  const names = ['trust_remote_code', 'Download-Dir', 'middleware', 'tool_parser_plugin', 'speculative_config.model']
  expect(lines).toMatchObject([{ launch: 'id-1', kwargs: names }])
  expect(said.join('')).not.toContain(secret)
})

test('with CONTROL_TLS_CERT and CONTROL_TLS_KEY nothing is answered in plain text', async () => {
  const secure = await start({ CONTROL_TLS_CERT: '/nonexistent/cert.pem', CONTROL_TLS_KEY: '/nonexistent/key.pem' })
  await secure.opens()
  await expect(secure.call('GET', '/livez')).rejects.toThrow(/hang up|ECONNRESET|Parse Error/)
})
