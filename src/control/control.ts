// The control listener: on loopback, or anywhere with a key; otherwise it stays closed and says why. The daemon goes on.
import type { ListenersConfig } from '../config/listeners.ts'
import { judgeControl } from '../config/judge-control.ts'
import type { Component } from '../core/component.ts'
import type { FdStore } from '../core/fd-store.ts'
import type { Log } from '../core/log.ts'
import { createStatus } from '../core/status-signal.ts'
import { startListener } from '../http/listener.ts'
import type { OnRequest } from '../http/server.ts'
import { toControlProblem } from './problems.ts'

export type ControlDeps = { config: ListenersConfig; fdStore: FdStore; onRequest: OnRequest; log: Log; drainMs: number }

export function startControl({ config, fdStore, onRequest, log, drainMs }: ControlDeps): Component {
  const refusal = judgeControl(config)
  if (refusal === undefined) {
    return startListener({
      name: 'control',
      host: config.controlHost,
      port: config.controlPort,
      fdStore,
      onRequest,
      log,
      drainMs,
    })
  }
  const status = createStatus('closed')
  status.set('degraded', 'the control listener stays closed', toControlProblem('control-refused', refusal))
  return { name: 'listener control', status: status.signal, end: async () => {} }
}
