// What must hold with the rehearsal pair and with real frps and frpc alike.
import { readdir, readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createLog } from '../../src/core/log.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { frpcFiles, readAdmin } from '../../src/tunnel/frpc-files.ts'
import type { Tunnels, TunnelView } from '../../src/tunnel/tunnels.ts'
import { eventually } from '../support/eventually.ts'
import {
  canConnect,
  createWorld,
  endChild,
  frpcPid,
  isAlive,
  type Programs,
  token,
  whenPhase,
  type World,
} from './world.ts'

const limit = { timeout: 90_000 }

export function testScenarios(programs: Programs): void {
  test('a tunnel is up when a request through both remote ports came back', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const tunnels = world.startTunnels()
    await whenPhase(tunnels, 'proved')
    expect(tunnels.status.value).toMatchObject({ health: 'ok' })
    const answer = await fetch(`http://${world.host}:${world.ports.node}/anything`)
    expect(answer.status).toBe(404)
  })

  test('stop leaves no frpc and no open port', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const tunnels = world.startTunnels()
    const pid = frpcPid(await whenPhase(tunnels, 'proved'))
    await tunnels.end('stop')
    expect(isAlive(pid)).toBe(false)
    await eventually(
      'the remote port is closed',
      async () => !(await canConnect({ host: world.host, port: world.ports.node })),
    )
  })

  test(
    'configuration and token are for us alone, and the token is in neither argv nor environment',
    limit,
    async () => {
      const world = await createWorld(programs)
      await world.startFrps()
      // Of the daemon: real frpc would connect through it, to nowhere.
      for (const name of proxyVariables) vi.stubEnv(name, 'http://127.0.0.1:9')
      onTestFinished(() => void vi.unstubAllEnvs())
      const pid = frpcPid(await whenPhase(world.startTunnels(), 'proved'))
      const files = filesOf(world)
      for (const path of [files.config, files.token]) expect((await stat(path)).mode & 0o777).toBe(0o600)
      expect(await readFile(files.config, 'utf8')).not.toContain(token)
      for (const name of ['cmdline', 'environ'])
        expect(await readFile(`/proc/${pid}/${name}`, 'utf8')).not.toContain(token)
      expect(process.env['http_proxy']).toBeDefined()
      expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toMatch(/_proxy/i)
    },
  )

  test('the admin API has a password of its own for each life, which only the configuration knows', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const said: string[] = []
    const log = createLog({ level: 'debug', secrets: createSecrets(), write: (line) => void said.push(line) })
    const tunnels = world.startTunnels({ log })
    const passwords: string[] = []
    for (let life = 0; life < 2; life += 1) {
      const view = await whenPhase(tunnels, 'proved')
      const pid = frpcPid(view)
      const admin = await readAdmin(filesOf(world).config)
      const password = admin?.password ?? ''
      // 18 random bytes.
      expect(password).toMatch(/^[\w-]{24}$/)
      passwords.push(password)
      const url = `http://127.0.0.1:${admin?.port}/api/status`
      const statuses = [{}, { authorization: basic('gonka', 'guessed') }, { authorization: basic('gonka', password) }]
      const asked = statuses.map(async (headers) => (await fetch(url, { headers })).status)
      expect(await Promise.all(asked)).toEqual([401, 401, 200])
      const shown = await Promise.all(
        [pid, view.pid].flatMap((one) =>
          ['cmdline', 'environ'].map((name) => readFile(`/proc/${one}/${name}`, 'utf8')),
        ),
      )
      const status = JSON.stringify([tunnels.tunnels.value, tunnels.status.value, tunnels.parts?.value])
      expect([...shown, status, ...said].filter((text) => text.includes(password))).toEqual([])
      expect(await findFilesWith(join(world.folder, 'state'), password)).toEqual([filesOf(world).config])
      process.kill(pid, 'SIGKILL')
      await whenAnother(tunnels, view)
    }
    expect(new Set(passwords).size).toBe(2)
  })

  test('a refused token is told, and the tunnel comes up once the server takes it', limit, async () => {
    const world = await createWorld(programs)
    const wrong = await world.startFrps({ auth: { token: 'another-token' } })
    const tunnels = world.startTunnels()
    const { problem } = await whenPhase(tunnels, 'down', 'frps-token-refused')
    expect(problem?.evidence).toContain('token in login')
    expect(JSON.stringify(tunnels.status.value)).not.toContain(token)
    expect(tunnels.status.value.health).toBe('failed')
    await endChild(wrong)
    await world.startFrps()
    await whenPhase(tunnels, 'proved')
  })

  test('a remote port that another frp client holds is told', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    await whenPhase(world.startTunnels(), 'proved')
    const second = world.startTunnels({ instanceId: 'i-other', stateDir: join(world.folder, 'other') })
    await expect(whenPhase(second, 'down', 'tunnel-port-taken')).resolves.toMatchObject({ phase: 'down' })
  })

  test('a name that is connected already is told', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    await whenPhase(world.startTunnels(), 'proved')
    const twin = world.startTunnels({ stateDir: join(world.folder, 'twin') })
    await expect(whenPhase(twin, 'down', 'tunnel-name-taken')).resolves.toMatchObject({ phase: 'down' })
  })

  test('a remote port that another program of the server holds is told', limit, async () => {
    const world = await createWorld(programs)
    const squatter = createServer().listen(world.ports.node, world.host)
    world.atEnd(() => squatter.close())
    await once(squatter, 'listening')
    await world.startFrps()
    const { problem } = await whenPhase(world.startTunnels(), 'down', 'tunnel-port-bound')
    expect(problem?.evidence).toContain(String(world.ports.node))
  })

  test('a remote port that the server does not allow is told', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps({ allowPorts: [{ start: 10_000, end: 19_999 }] })
    await expect(whenPhase(world.startTunnels(), 'down', 'tunnel-port-not-allowed')).resolves.toMatchObject({
      phase: 'down',
    })
  })

  test('a server that is away is told, and the tunnel is back when the server is', limit, async () => {
    const world = await createWorld(programs)
    const tunnels = world.startTunnels()
    await whenPhase(tunnels, 'down', 'frps-unreachable')
    const frps = await world.startFrps()
    const before = frpcPid(await whenPhase(tunnels, 'proved'))
    const codes = noteCodes(tunnels)
    await endChild(frps)
    await whenPhase(tunnels, 'down')
    expect(codes).toEqual(new Set(['frps-unreachable']))
    await world.startFrps()
    expect(frpcPid(await whenPhase(tunnels, 'proved'))).toBe(before)
  })

  test('a frozen server is told, and the tunnel is back when the server thaws', limit, async () => {
    const world = await createWorld(programs)
    const frps = await world.startFrps()
    const tunnels = world.startTunnels()
    await whenPhase(tunnels, 'proved')
    frps.kill('SIGSTOP')
    await whenPhase(tunnels, 'down', 'frps-frozen')
    frps.kill('SIGCONT')
    await expect(whenPhase(tunnels, 'proved')).resolves.toMatchObject({ phase: 'proved' })
  })

  test('a killed frpc is made anew', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const tunnels = world.startTunnels()
    const view = await whenPhase(tunnels, 'proved')
    const pid = frpcPid(view)
    process.kill(pid, 'SIGKILL')
    // How long it is down is a matter of milliseconds: what counts is that another one serves.
    await whenAnother(tunnels, view)
    expect(isAlive(pid)).toBe(false)
  })

  test('a restart of the daemon keeps the same frpc, and no connection is refused meanwhile', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const first = world.startTunnels()
    const pid = frpcPid(await whenPhase(first, 'proved'))
    const asking = askUntilStopped(`http://${world.host}:${world.ports.node}/`)
    await first.end('restart')
    expect(isAlive(pid)).toBe(true)
    const second = world.startTunnels()
    expect(frpcPid(await whenPhase(second, 'proved'))).toBe(pid)
    const { asked, failed } = await asking.stop()
    expect(failed).toEqual([])
    expect(asked).toBeGreaterThan(0)
  })

  test('a changed configuration replaces the frpc of the daemon before', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const first = world.startTunnels({ token: 'mistyped' })
    const before = await whenPhase(first, 'down', 'frps-token-refused')
    const pid = frpcPid(before)
    await first.end('restart')
    const second = world.startTunnels()
    expect(frpcPid(await whenPhase(second, 'proved'))).not.toBe(pid)
    expect(isAlive(pid)).toBe(false)
  })

  test('without tunnels in the configuration the frpc of the daemon before is ended', limit, async () => {
    const world = await createWorld(programs)
    await world.startFrps()
    const first = world.startTunnels()
    const pid = frpcPid(await whenPhase(first, 'proved'))
    await first.end('restart')
    const second = world.startTunnels({ servers: [] })
    await eventually('frpc is gone', () => !isAlive(pid))
    expect(second.status.value.health).toBe('off')
    await eventually(
      'its files are gone too',
      async () => (await readdir(join(world.folder, 'state', 'frp'))).length === 0,
    )
  })
}

const proxyVariables = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']

const filesOf = (world: World) => frpcFiles(join(world.folder, 'state', 'frp'), { server: world.server } as never)

/** By its keeper: an old one has other children for a moment, which write down how frpc ended. */
const whenAnother = (tunnels: Tunnels, { pid }: TunnelView) =>
  eventually('another frpc serves', async () => (await whenPhase(tunnels, 'proved')).pid !== pid)

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Configuration, token, records and logs of all lives. */
async function findFilesWith(folder: string, text: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8').catch(() => '')))
  return paths.filter((_, at) => texts[at]?.includes(text))
}

/** The problems of its only tunnel from now on, as they come. */
function noteCodes({ tunnels }: Tunnels): Set<string> {
  const codes = new Set<string>()
  onTestFinished(
    tunnels.subscribe(([view]) => {
      if (view?.problem) codes.add(view.problem.code)
    }),
  )
  return codes
}

/** One request after another, each on a new connection. */
function askUntilStopped(url: string) {
  const over = new AbortController()
  const run = async () => {
    const failed: string[] = []
    let asked = 0
    while (!over.signal.aborted) {
      asked += 1
      await fetch(url, { headers: { connection: 'close' } })
        .then((answer) => answer.text())
        .catch((error: unknown) => failed.push(String(error)))
    }
    return { asked, failed }
  }
  const running = run()
  return {
    stop: () => {
      over.abort()
      return running
    },
  }
}
