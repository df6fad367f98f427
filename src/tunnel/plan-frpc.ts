// What one frpc is to do, as a typed configuration, and by what an older one is recognised as doing just that.
import { createHash } from 'node:crypto'
import type { HostPort } from '../core/host-port.ts'
import { type FrpcConfig, judgeVersion } from '../frp-config/frpc-config.ts'
import type { Role } from './judge-tunnel.ts'

/** Everything that decides about one frpc, but for the program's version and its admin API. */
export type TunnelWish = {
  server: HostPort
  token: string | undefined
  /** Four digits. */
  clientId: string
  instanceId: string
  local: Record<Role, HostPort>
}

export const remotePorts = (clientId: string): Record<Role, number> => ({
  inference: Number(`1${clientId}`),
  node: Number(`2${clientId}`),
})

/** Unique per instance: several nodes may share one server, and names on it are global. */
export function proxyNames(instanceId: string): Record<Role, string> {
  const safe = instanceId.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'node'
  return { inference: `${safe.slice(0, 100)}-inference`, node: `${safe.slice(0, 100)}-node` }
}

/** Short, and safe as a file name and in a cgroup's name: `frps-example-7000-1a2b3c`. */
export function keyOf({ host, port }: HostPort): string {
  const readable = host.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `${readable.slice(0, 40)}-${port}-${digest(`${host}:${port}`).slice(0, 6)}`
}

/** Two wishes with the same digest need no new frpc. Holds nothing that the token could be read from. */
export function digestWish(wish: TunnelWish): string {
  return digest(
    JSON.stringify([formatVersion, planFrpc(wish, { tokenPath: '', admin: undefined })]) + digest(wish.token ?? ''),
  )
}

/** Raised when planFrpc changes, so that an upgrade replaces the frpc of its predecessor. */
const formatVersion = 1

export type AdminPlan = { port: number; user: string; password: string }

/** @param how.tokenPath file of the token, undefined: the token itself (frpc before 0.64) */
export function planFrpc(
  wish: TunnelWish,
  how: { tokenPath: string | undefined; admin: AdminPlan | undefined },
): FrpcConfig {
  const { server, token, clientId, instanceId, local } = wish
  const [names, ports] = [proxyNames(instanceId), remotePorts(clientId)]
  const proxy = (role: Role) => ({
    name: names[role],
    type: 'tcp' as const,
    localIP: local[role].host,
    localPort: local[role].port,
    remotePort: ports[role],
  })
  return {
    serverAddr: server.host,
    serverPort: server.port,
    user: clientId,
    ...(token !== undefined && { auth: planAuth(token, how.tokenPath) }),
    // The agent reads the log for what is fatal; a process that ends at the first refusal would only hide it.
    loginFailExit: false,
    metadatas: { instanceId, clientId, software: 'gonka-node' },
    ...(how.admin && { webServer: { addr: '127.0.0.1', ...how.admin } }),
    log: { to: 'console', level: 'info', disablePrintColor: true },
    proxies: [proxy('inference'), proxy('node')],
  }
}

function planAuth(token: string, tokenPath: string | undefined): NonNullable<FrpcConfig['auth']> {
  if (tokenPath === undefined) return { method: 'token', token }
  return { method: 'token', tokenSource: { type: 'file', file: { path: tokenPath } } }
}

/** How this frpc gets its token, or why it is too old for us. */
export function judgeFrpc(version: string): { tokenFrom: 'file' | 'toml' } | { tooOld: string } {
  const bare: FrpcConfig = { serverAddr: 'x', serverPort: 1 }
  const [tooOld] = judgeVersion(bare, version)
  if (tooOld) return { tooOld }
  const source = { tokenSource: { type: 'file' as const, file: { path: 'x' } } }
  return { tokenFrom: judgeVersion({ ...bare, auth: source }, version).length > 0 ? 'toml' : 'file' }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
