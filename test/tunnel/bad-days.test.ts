// What real frp does not do on demand, and what is wrong on our own side.
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { listProcesses } from '../../src/core/proc.ts'
import { writeFrpProgram } from '../../src/rehearsal/frpc-program.ts'
import { createNonce } from '../../src/tunnel/nonce.ts'
import { eventually } from '../support/eventually.ts'
import { createWorld, frpcPid, isAlive, type Programs, token, whenPhase } from './world.ts'

const limit = { timeout: 90_000 }

function rehearsal(knobs: Record<string, string> = {}, serverKnobs: Record<string, string> = {}): Programs {
  return {
    frps: (folder) => writeFrpProgram(folder, 'frps', serverKnobs),
    frpc: (folder) => writeFrpProgram(folder, 'frpc', { REHEARSAL_FRPC_SCALE: '0.1', ...knobs }),
  }
}

async function program(folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\n${text}\n`)
  await chmod(path, 0o755)
  return path
}

test.each<[string, string, string]>([
  ['that is not there', 'frpc-missing', ''],
  ['that says no version', 'frpc-unusable', 'echo hello'],
  ['that cannot be executed', 'frpc-unusable', 'exit 7'],
  ['from before TOML', 'frpc-too-old', 'echo 0.51.3'],
  ['that ends at once', 'frpc-died', 'case $1 in -v) echo 0.70.0;; *) echo "no such thing"; exit 1;; esac'],
  [
    'whose admin port was taken',
    'frpc-admin-port-busy',
    'case $1 in -v) echo 0.70.0;; *) echo "listen tcp 127.0.0.1:1: bind: address already in use"; exit 1;; esac',
  ],
])('a frpc %s is told as %s', limit, async (_what, code, text) => {
  const world = await createWorld(rehearsal())
  const frpcPath = text ? await program(world.folder, 'bad', text) : join(world.folder, 'nowhere')
  const config = { servers: [world.server], token, configDir: undefined, frpcPath }
  const tunnels = world.startTunnels({ config })
  const { problem } = await whenPhase(tunnels, 'down', code)
  expect(problem?.evidence).not.toBe('')
})

test('a frpc that is installed later is used', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const frpcPath = join(world.folder, 'later')
  const tunnels = world.startTunnels({ config: { servers: [world.server], token, configDir: undefined, frpcPath } })
  await whenPhase(tunnels, 'down', 'frpc-missing')
  await program(world.folder, 'later', `exec ${world.frpcPath} "$@"`)
  await expect(whenPhase(tunnels, 'proved')).resolves.toMatchObject({ phase: 'proved' })
})

test('a frpc from before tokenSource gets the token in its private file', limit, async () => {
  const world = await createWorld(rehearsal({ REHEARSAL_FRPC_VERSION: '0.61.0' }))
  await world.startFrps()
  const configDir = join(world.folder, 'etc-frp')
  const { frpcPath } = world
  await whenPhase(world.startTunnels({ config: { servers: [world.server], token, configDir, frpcPath } }), 'proved')
  const [name] = await readdir(configDir)
  expect(await readFile(join(configDir, name ?? ''), 'utf8')).toContain(`token = "${token}"`)
})

test('a token that frpc would execute is refused before frpc sees it', limit, async () => {
  const world = await createWorld(rehearsal({ REHEARSAL_FRPC_VERSION: '0.61.0' }))
  const tunnels = world.startTunnels({ token: 'a{{ .Envs.HOME }}' })
  const { problem } = await whenPhase(tunnels, 'down', 'frpc-config-refused')
  expect(problem?.evidence).not.toContain('Envs')
})

test('a folder that cannot be written is told, and the tunnel comes up once it can', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const configDir = join(world.folder, 'file', 'frp')
  await writeFile(join(world.folder, 'file'), 'in the way')
  const { frpcPath } = world
  const tunnels = world.startTunnels({ config: { servers: [world.server], token, configDir, frpcPath } })
  await whenPhase(tunnels, 'down', 'tunnel-files-unwritable')
  await rm(join(world.folder, 'file'))
  await mkdir(join(world.folder, 'file'))
  await expect(whenPhase(tunnels, 'proved')).resolves.toMatchObject({ phase: 'proved' })
})

test('a frozen frpc is replaced', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const times = { poll: 100, probe: 300, failingProbe: 200, probeTimeout: 1000, silence: 8000 }
  const tunnels = world.startTunnels({ times })
  const pid = frpcPid(await whenPhase(tunnels, 'proved'))
  process.kill(pid, 'SIGSTOP')
  await whenPhase(tunnels, 'down', 'frpc-silent')
  expect(frpcPid(await whenPhase(tunnels, 'proved'))).not.toBe(pid)
  expect(isAlive(pid)).toBe(false)
})

test('a frpc that is deaf to SIGTERM is gone after stop all the same', limit, async () => {
  const world = await createWorld(rehearsal({ REHEARSAL_FRPC_DEAF: '1' }))
  await world.startFrps()
  const tunnels = world.startTunnels()
  const pid = frpcPid(await whenPhase(tunnels, 'proved'))
  await tunnels.end('stop')
  expect(isAlive(pid)).toBe(false)
})

test('remote ports that lead to another node are told', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const other = createNonce()
  const stranger = createServer((request, response) => response.end(other.answer(request.url ?? '')))
  stranger.listen(0, '127.0.0.1')
  await once(stranger, 'listening')
  world.atEnd(() => stranger.close())
  const { port } = stranger.address() as { port: number }
  const local = { inference: { host: '127.0.0.1', port }, node: { host: '127.0.0.1', port } }
  const { problem } = await whenPhase(world.startTunnels({ local }), 'down', 'tunnel-reaches-another-node')
  expect(problem?.evidence).not.toContain(other.value)
})

test('a listener of ours that is down is told with the words of frpc', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const tunnels = world.startTunnels()
  await whenPhase(tunnels, 'proved')
  const { port } = world.listeners.node.address() as { port: number }
  world.listeners.node.close()
  const { problem } = await whenPhase(tunnels, 'down', 'tunnel-listener-down')
  expect(problem?.evidence).toContain('connect to local service')
  world.listeners.node.listen(port, '127.0.0.1')
  await whenPhase(tunnels, 'proved')
})

test('remote ports that cannot be reached from here are up, and said to be unproved', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps({ proxyBindAddr: world.host.replace(/\d+$/, '255') })
  const tunnels = world.startTunnels()
  const view = await whenPhase(tunnels, 'unproved')
  expect(view.note).toContain('refuses connections')
  expect(tunnels.status.value).toMatchObject({ health: 'ok', summary: expect.stringContaining('not proved') })
})

test('a session that the server drops is opened again by the same frpc', limit, async () => {
  const world = await createWorld(rehearsal({}, { REHEARSAL_FRPS_REFUSE_LOGINS: '4' }))
  await world.startFrps()
  const tunnels = world.startTunnels()
  await whenPhase(tunnels, 'down', 'frps-token-refused')
  const pid = frpcPid(await whenPhase(tunnels, 'proved'))
  await fetch(`${world.dashboard}/rehearsal/drop`, { method: 'POST' })
  await eventually('frpc logs in again', async () => {
    const [life = ''] = await world.lives()
    const log = await readFile(join(world.folder, 'state', 'frp-lives', life, 'log'), 'utf8')
    return log.split('login to server success').length === 3
  })
  expect(frpcPid(await whenPhase(tunnels, 'proved'))).toBe(pid)
})

test('a server that freezes before the first login is told', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  await fetch(`${world.dashboard}/rehearsal/freeze`, { method: 'POST' })
  const tunnels = world.startTunnels()
  await whenPhase(tunnels, 'down', 'frps-frozen')
  await fetch(`${world.dashboard}/rehearsal/thaw`, { method: 'POST' })
  await expect(whenPhase(tunnels, 'proved')).resolves.toMatchObject({ phase: 'proved' })
})

test('one server down of two is degraded, and the other one serves', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  const away = { host: 'frps.invalid', port: 7000 }
  const tunnels = world.startTunnels({ servers: [world.server, away] })
  await whenPhase(tunnels, 'proved')
  await eventually(
    'the other one is down',
    () => tunnels.tunnels.value[1]?.problem?.code === 'frps-unreachable',
    30_000,
  )
  expect(tunnels.status.value.health).toBe('degraded')
  expect(tunnels.parts?.value.map((one) => one.health)).toEqual(['ok', 'failed'])
})

test('without a client id there are no tunnels', async () => {
  const world = await createWorld(rehearsal())
  const tunnels = world.startTunnels({ clientId: undefined })
  expect(tunnels.status.value.health).toBe('off')
  expect(tunnels.tunnels.value).toEqual([])
  await tunnels.end('stop')
})

test('a stop at any moment of the start leaves nothing behind', limit, async () => {
  const world = await createWorld(rehearsal())
  await world.startFrps()
  for (const ms of [0, 1, 20, 60, 120, 250, 500]) {
    const tunnels = world.startTunnels()
    await systemClock.wait(ms)
    await tunnels.end('stop')
    const mine = listProcesses().filter(({ pid }) => readCommand(pid).includes(join(world.folder, 'state')))
    expect(mine).toEqual([])
  }
})

function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
