// The REST side of the launch service put together: keys, certificate, what the calls need, and the listener.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Config } from '../config/schema.ts'
import type { Component } from '../core/component.ts'
import type { FdStore } from '../core/fd-store.ts'
import type { Log } from '../core/log.ts'
import type { Secrets } from '../core/secrets.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'
import { type Access, startAccess } from '../http/access.ts'
import { startTlsFiles, type TlsFiles } from '../http/tls-files.ts'
import { createProxy } from '../proxy/proxy.ts'
import { startControlListener } from './control-listener.ts'
import { createLaunchCalls } from './launch-calls.ts'
import { createLaunchSocketRoutes } from './launch-socket-routes.ts'
import type { SocketRoutes } from './socket.ts'
import { createStats } from './stats.ts'

export type ControlDeps = {
  config: Config
  launches: Launches
  /** The engines of the node and of every launch. */
  upstreams: ReadonlySignal<readonly Upstream[]>
  isMining: (upstream: Upstream) => boolean
  /** The engines of the daemon before us are found again. */
  settled: ReadonlySignal<boolean>
  fdStore: FdStore
  secrets: Pick<Secrets, 'add'>
  /** ms */
  drainMs: number
  part: (name: string) => Log
}

export interface Control {
  readonly listener: Component
  /** Of REST and gRPC alike. */
  readonly access: Access
  readonly tls: TlsFiles | undefined
  /** In boot order; the listener is the last. */
  readonly parts: readonly Component[]
  /** The same for the command line. */
  readonly socketRoutes: SocketRoutes
}

export function startControl(deps: ControlDeps): Control {
  const { config, launches, upstreams, isMining, part } = deps
  const { listeners } = config
  const access = startAccess({ ...listeners, log: part('access'), secrets: deps.secrets })
  const { tlsCert: cert, tlsKey: key, safeKwargsOnly } = listeners
  const tls = cert && key ? startTlsFiles({ cert, key, log: part('certificate') }) : undefined
  const { logReadChunk } = config.launches
  const calls = createLaunchCalls({ launches, safeKwargsOnly, logReadChunk, log: part('launches') })
  const stats = createStats({ nvidiaSmi: config.host.nvidiaSmi })
  const log = part('control')
  const proxy = createProxy({ upstreams, log }).handle
  const { settled, fdStore, drainMs } = deps
  const listener = startControlListener({
    config: listeners,
    launches,
    calls,
    stats,
    proxy,
    isMining,
    access,
    settled,
    tls: tls?.material,
    fdStore,
    log,
    drainMs,
  })
  const parts = [access, ...(tls ? [tls] : []), listener]
  return { listener, access, tls, parts, socketRoutes: createLaunchSocketRoutes({ launches, calls, stats }) }
}
