// A server, two listeners of ours and a folder of state: what tunnels need around them. Everything ends with the test.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { HostPort } from '../../src/core/host-port.ts'
import { silentLog } from '../../src/core/log.ts'
import { createNonce, type Nonce } from '../../src/tunnel/nonce.ts'
import { startTunnels, type Tunnels, type TunnelsDeps, type TunnelView } from '../../src/tunnel/tunnels.ts'
import { eventually } from '../support/eventually.ts'

export type Programs = { frps(folder: string): Promise<string>; frpc(folder: string): Promise<string> }

export const token = 'the-right-token'

/** Everything ten times as often as in a daemon: a test waits for what happens, not for the next look. */
const times = { poll: 100, probe: 300, failingProbe: 200, probeTimeout: 1500 }

export type World = Awaited<ReturnType<typeof createWorld>>

export async function createWorld(programs: Programs) {
  const folder = await mkdtemp(join(tmpdir(), 'gonka-frp-'))
  const ends: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true, maxRetries: 5 })]
  onTestFinished(async () => {
    for (const end of ends.toReversed()) await end()
  })
  const frpsPath = await programs.frps(folder)
  const frpcPath = await programs.frpc(folder)
  // A loopback address of its own: no other test can be in the way of a port.
  const host = `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(1, 255)}`
  const [server, dashboard, clientId] = [{ host, port: 7000 }, { host, port: 7500 }, '0042']
  const current = { nonce: createNonce() }
  const listeners = { inference: await listen(current), node: await listen(current) }
  ends.push(() => Object.values(listeners).forEach((one) => one.close() && one.closeAllConnections()))

  return {
    folder,
    clientId,
    host,
    server,
    dashboard: `http://${host}:${dashboard.port}`,
    ports: { inference: Number(`1${clientId}`), node: Number(`2${clientId}`) },
    listeners,
    /** Until its port accepts. */
    async startFrps(over: Record<string, unknown> = {}, env: Record<string, string> = {}): Promise<ChildProcess> {
      const path = join(folder, 'frps.json')
      const config = {
        bindAddr: host,
        bindPort: server.port,
        proxyBindAddr: host,
        auth: { token },
        allowPorts: [{ start: 10_000, end: 29_999 }],
        webServer: { addr: host, port: dashboard.port },
        ...over,
      }
      await writeFile(path, JSON.stringify(config))
      const child = spawn(frpsPath, ['-c', path], { stdio: 'ignore', env: { PATH: '/usr/bin:/bin', ...env } })
      ends.push(() => endChild(child))
      await eventually(
        'frps accepts connections',
        async () => (await canConnect(server)) && (await canConnect(dashboard)),
      )
      return child
    },
    /** As the next process of the daemon would: with a nonce of its own. */
    startTunnels(over: Partial<TunnelsDeps> & { token?: string; servers?: HostPort[] } = {}): Tunnels {
      current.nonce = over.nonce ?? createNonce()
      const { token: secret = token, servers = [server], ...deps } = over
      const tunnels = startTunnels({
        config: { servers, token: secret, configDir: undefined, frpcPath },
        clientId,
        instanceId: 'i-0abc',
        stateDir: join(folder, 'state'),
        local: { inference: addressOf(listeners.inference), node: addressOf(listeners.node) },
        nonce: current.nonce,
        log: silentLog,
        times,
        ...deps,
      })
      ends.push(() => tunnels.end('stop'))
      return tunnels
    },
    frpcPath,
    /** Folders of all lives that the state still knows. */
    lives: () => readdir(join(folder, 'state', 'frp-lives')).catch(() => []),
    atEnd: (end: () => unknown) => ends.push(end),
  }
}

export function whenPhase(tunnels: Tunnels, phase: TunnelView['phase'], code?: string): Promise<TunnelView> {
  return eventually(
    `tunnel ${phase} ${code ?? ''}`,
    () => {
      const [view] = tunnels.tunnels.value
      if (view?.phase === phase && (code === undefined || view.problem?.code === code)) return view
      throw new Error(JSON.stringify(view))
    },
    60_000,
  )
}

/** The frpc below its keeper. @throws where it has none any more */
export function frpcPid(view: TunnelView): number {
  const [pid] = readFileSync(`/proc/${view.pid}/task/${view.pid}/children`, 'utf8').trim().split(' ')
  if (!pid) throw new Error(`no frpc below ${view.pid}`)
  return Number(pid)
}

export function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

export function canConnect({ host, port }: HostPort): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

const addressOf = (server: Server): HostPort => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })

async function listen(current: { nonce: Nonce }): Promise<Server> {
  const server = createServer((request, response) => {
    const body = current.nonce.answer(request.url ?? '')
    response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' }).end(body ?? '{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}
