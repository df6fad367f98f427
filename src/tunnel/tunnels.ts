// The FRP tunnels as one part: a frpc per server that outlives the daemon, each proved end to end, and what others see of them.
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import { join } from 'node:path'
import type { Problem } from '../api/status.ts'
import type { Component } from '../core/component.ts'
import type { HostPort } from '../core/host-port.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { plainEnv } from '../core/run-program.ts'
import { createStatus } from '../core/status-signal.ts'
import { watch } from '../core/watch.ts'
import type { TunnelsConfig } from '../config/tunnels.ts'
import { tunnelTimes, type TunnelTimes } from './follow-frpc.ts'
import { frpcFiles } from './frpc-files.ts'
import { adoptLives, type WantedLife } from './frpc-lives.ts'
import type { Role } from './judge-tunnel.ts'
import type { Nonce } from './nonce.ts'
import { keyOf } from './plan-frpc.ts'
import { describeTunnel, judgeTunnels } from './to-view.ts'
import { startTunnel, type Tunnel } from './tunnel.ts'

/** proved: a request with our nonce came back through the server's remote ports; unproved: frpc says running, but these ports cannot be reached from here. */
export type TunnelView = {
  server: HostPort
  phase: 'starting' | 'proved' | 'unproved' | 'down'
  inferenceRemotePort: number
  nodeRemotePort: number
  since: string
  problem?: Problem
  /** Why it is starting or unproved. */
  note?: string
  /** Of the keeper of its frpc, and frpc's version. */
  pid?: number
  version?: string
}

export interface Tunnels extends Component {
  /** One per FRP server, in the order of FRP_SERVERS; empty without servers. */
  readonly tunnels: ReadonlySignal<readonly TunnelView[]>
}

export type TunnelsDeps = {
  config: TunnelsConfig
  clientId: string | undefined
  /** Makes our names on a shared server ours: instance id or machine id. */
  instanceId: string
  stateDir: string
  /** Where our two tunnelled listeners are reached from this machine. */
  local: Record<Role, HostPort>
  /** Both listeners answer its path (nonce.answer). */
  nonce: Nonce
  log: Log
  /** PATH in which frpc is looked for. */
  searchPath?: string
  times?: Partial<TunnelTimes>
}

/** A frpc of the daemon before us that does what is wanted now is adopted, any other one is ended. */
export function startTunnels(deps: TunnelsDeps): Tunnels {
  const folder = join(deps.stateDir, 'frp-lives')
  const wanted = planTunnels(deps)
  const lives = adoptLives(folder, wanted, deps.log)
  const shared = {
    folder,
    frpcPath: deps.config.frpcPath,
    searchPath: deps.searchPath ?? plainEnv.PATH,
    nonce: deps.nonce.value,
    times: { ...tunnelTimes, ...deps.times },
    log: deps.log,
  }
  const all = wanted.map((one) =>
    startTunnel(
      { ...shared, ...one },
      lives.then((found) => found.get(keyOf(one.wish.server))),
    ),
  )
  return toTunnels(all, lives)
}

function planTunnels({ config, clientId, instanceId, stateDir, local }: TunnelsDeps): WantedLife[] {
  if (clientId === undefined) return []
  return config.servers.map((server) => {
    const wish = { server, token: config.token, clientId, instanceId, local }
    return { wish, files: frpcFiles(config.configDir ?? join(stateDir, 'frp'), wish) }
  })
}

function toTunnels(all: readonly Tunnel[], swept: Promise<unknown>): Tunnels {
  const tunnels = all.length === 0 ? signal([]) : computed(() => all.map((one) => one.view.value))
  const status = createStatus(all.length === 0 ? 'no tunnels: FRP_SERVERS or CLIENT_ID is not set' : 'starting')
  const over = new AbortController()
  if (all.length === 0) status.set('off', status.signal.peek().summary)
  else
    watch(
      tunnels,
      (views) => {
        const { health, summary, problem } = judgeTunnels(views)
        status.set(health, summary, problem)
      },
      over.signal,
    )
  const endAll = async (intent: Intent) => {
    await swept
    await Promise.all(all.map((one) => one.end(intent)))
    over.abort()
  }
  let ending: Promise<void> | undefined
  return {
    name: 'tunnels',
    status: status.signal,
    parts: computed(() => tunnels.value.map(describeTunnel)),
    tunnels,
    end: (intent) => (ending ??= endAll(intent)),
  }
}
