// What the rest of the daemon sees of the tunnels.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Component } from '../core/component.ts'
import type { HostPort } from '../core/host-port.ts'
import type { Problem } from '../api/status.ts'

/** proved: a request with our nonce came back through the server's remote ports; unproved: frpc says running, but these ports cannot be reached from here. */
export type TunnelView = {
  server: HostPort
  phase: 'starting' | 'proved' | 'unproved' | 'down'
  inferenceRemotePort: number
  nodeRemotePort: number
  since: string
  problem?: Problem
}

export interface Tunnels extends Component {
  /** One per FRP server, in the order of FRP_SERVERS; empty without servers. */
  readonly tunnels: ReadonlySignal<readonly TunnelView[]>
}
