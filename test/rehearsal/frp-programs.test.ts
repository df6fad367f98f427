// The rehearsal frpc keeps the contract that was measured on the real one; where real frp is at hand, so does that.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { HostPort } from '../../src/core/host-port.ts'
import { renderFrpc, type FrpcConfig } from '../../src/frp-config/frpc-config.ts'
import { planRetry } from '../../src/rehearsal/frpc-client.ts'
import { writeFrpProgram } from '../../src/rehearsal/frpc-program.ts'
import { eventually } from '../support/eventually.ts'
import { findFrp } from '../support/frp-programs.ts'
import { createWorld, endChild, type Programs, token } from '../tunnel/world.ts'

const real = findFrp()
const limit = { timeout: 60_000 }

describe('the rehearsal pair', () => {
  testContract({
    frps: (folder) => writeFrpProgram(folder, 'frps'),
    frpc: (folder) => writeFrpProgram(folder, 'frpc'),
  })
})

describe.skipIf(!real.found)(`the real pair${real.found ? '' : ` (skipped: ${real.why})`}`, () => {
  testContract({
    frps: () => Promise.resolve(real.found ? real.frps : ''),
    frpc: () => Promise.resolve(real.found ? real.frpc : ''),
  })
})

test('waits between logins grow to 20 s, to 10 s before the first success', () => {
  expect([1, 2, 3, 9].map((failures) => planRetry(failures, true, 0.5))).toEqual([2000, 4000, 8000, 20_000])
  expect(planRetry(9, false, 0.5)).toBe(10_000)
})

function testContract(programs: Programs): void {
  test.each([
    ['a good file', 'serverAddr = "a"\n', 0, 'syntax is ok'],
    ['an unknown key', 'serverAddr = "a"\nbogus = 1\n', 1, 'json: unknown field "bogus"'],
    ['two proxies of one name', twoProxies, 1, 'proxy name [a] is duplicated'],
    [
      'a heartbeat out of order',
      '[transport]\nheartbeatInterval = 30\nheartbeatTimeout = 10\n',
      1,
      'invalid transport.heartbeatTimeout',
    ],
    ['no TOML', 'serverAddr = = 1\n', 1, 'toml: line 1'],
  ])('verify of %s', limit, async (_what, text, code, says) => {
    const world = await createWorld(programs)
    const path = join(world.folder, 'x.toml')
    await writeFile(path, text.includes('serverAddr') ? text : `serverAddr = "a"\n${text}`)
    const ended = await runFrpc(world.frpcPath, ['verify', '-c', path])
    expect(ended.output).toContain(says)
    expect(ended.code).toBe(code)
  })

  test('a wrong token ends it with exit 1 and its reason, when loginFailExit is on', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const path = join(world.folder, 'x.toml')
    await writeFile(path, renderFrpc({ ...bare(world.server), auth: { token: 'wrong' }, loginFailExit: true }))
    const ended = await runFrpc(world.frpcPath, ['-c', path])
    expect(ended).toMatchObject({ code: 1 })
    expect(ended.output).toContain(
      "login to the server failed: token in login doesn't match token from configuration. With loginFailExit enabled, no additional retries will be attempted",
    )
  })

  test('its admin API answers as frp does, and SIGTERM ends it by the signal', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const path = join(world.folder, 'x.toml')
    const admin = world.ports.node
    const proxies = [{ name: 'a', type: 'tcp' as const, localPort: 9, remotePort: world.ports.inference }]
    const config = { ...bare(world.server), auth: { token }, user: 'u', proxies }
    await writeFile(
      path,
      renderFrpc({ ...config, webServer: { addr: world.host, port: admin, user: 'u', password: 'p' } }),
    )
    const child = spawn(world.frpcPath, ['-c', path], { stdio: 'ignore' })
    world.atEnd(() => endChild(child))
    const ask = (route: string, headers = { authorization: `Basic ${btoa('u:p')}` }) =>
      fetch(`http://${world.host}:${admin}${route}`, { headers })
    await eventually('the proxy runs', async () => (await (await ask('/api/status')).text()).includes('"running"'))
    expect((await fetch(`http://${world.host}:${admin}/healthz`)).status).toBe(200)
    expect((await fetch(`http://${world.host}:${admin}/api/status`)).status).toBe(401)
    expect(await (await ask('/api/status')).json()).toMatchObject({
      tcp: [
        { name: 'a', type: 'tcp', status: 'running', err: '', remote_addr: `${world.host}:${world.ports.inference}` },
      ],
    })
    await writeFile(path, `bogus = 1\n${renderFrpc(config)}`)
    const reload = await ask('/api/reload?strictConfig=true')
    expect(reload.status).toBe(400)
    expect(await reload.text()).toContain('unknown field')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM'])
  })
}

const proxyToml = '[[proxies]]\nname = "a"\ntype = "tcp"\nlocalPort = 1\nremotePort = '
const twoProxies = `serverAddr = "a"\n${proxyToml}2\n${proxyToml}3\n`

function bare({ host, port }: HostPort): FrpcConfig {
  return { serverAddr: host, serverPort: port }
}

async function runFrpc(path: string, args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}
