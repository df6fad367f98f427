// The control listener: on loopback, or anywhere with a key; otherwise it stays closed and says why. The daemon goes on.
import type { ReadonlySignal } from '@preact/signals-core'
import type { ListenersConfig } from '../config/listeners.ts'
import { judgeControl } from '../config/judge-control.ts'
import type { Component } from '../core/component.ts'
import type { FdStore } from '../core/fd-store.ts'
import { createStatus } from '../core/status-signal.ts'
import { holdUntil } from '../http/hold.ts'
import { startListener } from '../http/listener.ts'
import type { TlsMaterial } from '../http/tls-files.ts'
import { type ControlAppDeps, createControlApp } from './control-app.ts'
import { toControlProblem } from './problems.ts'

export type ControlListenerDeps = Omit<ControlAppDeps, 'hosts' | 'build'> & {
  config: ListenersConfig
  fdStore: FdStore
  /** The engines of the daemon before us are found again. */
  settled: ReadonlySignal<boolean>
  /** Speaks TLS alone where given. */
  tls: ReadonlySignal<TlsMaterial | undefined> | undefined
  /** ms */
  drainMs: number
}

export function startControlListener(deps: ControlListenerDeps): Component {
  const { config, fdStore, settled, tls, log, drainMs } = deps
  const { controlHost: host, controlPort: port, allowedHosts: allowed, buildSha: sha, buildTime: time } = config
  const refusal = judgeControl(config)
  if (refusal === undefined) {
    const app = createControlApp({ ...deps, hosts: { bind: host, allowed }, build: { sha, time } })
    const onRequest = holdUntil(settled, app)
    return startListener({ name: 'control', host, port, fdStore, onRequest, log, drainMs, tls })
  }
  const status = createStatus('closed')
  status.set('degraded', 'the control listener stays closed', toControlProblem('control-refused', refusal))
  return { name: 'listener control', status: status.signal, end: async () => {} }
}
