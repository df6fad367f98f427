// What the rest of the daemon sees of all engines together.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Component } from '../core/component.ts'
import type { Problem } from '../api/status.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from './launches.ts'
import type { Orders } from './orders.ts'

/** What should run now: the configuration's wish, overlaid by the broker's order. Undefined: nothing is wanted. */
export type Planned = {
  /** The served name. */
  model: string
  /** How many engines: k of D7, fixed from files and GPUs before any of them loads. */
  instances: number
  gpusPerEngine: number
  hasPoc: boolean
  /** Whose wish it is. */
  owner: 'configuration' | 'broker'
}

export type EngineView = {
  id: string
  slot: number
  model: string
  gpus: readonly number[]
  port: number
  phase: 'waiting' | 'launching' | 'loading' | 'serving' | 'parked' | 'ending' | 'gone' | 'backing-off' | 'given-up'
  /** Load stage as facts/vllm.md 2.6 names it, and percent where the log tells it. */
  stage?: string
  percent?: number
  pid?: number
  adopted: boolean
  since: string
  restarts: number
  logPath?: string
  problem?: Problem
}

export interface Fleet extends Component {
  readonly planned: ReadonlySignal<Planned | undefined>
  /** Every live engine, by slot, loading ones included. */
  readonly upstreams: ReadonlySignal<readonly Upstream[]>
  readonly engines: ReadonlySignal<readonly EngineView[]>
  readonly orders: Orders
  /** Models that clients asked for, beside the node's own. */
  readonly launches: Launches
  /**
   * Engines of the daemon before us were looked for, and those that served were seen to serve (at most 2.5 s later). Until then
   * callers wait: a restart of the daemon is no outage.
   */
  readonly settled: ReadonlySignal<boolean>
  /**
   * The arguments of the configuration's own wish as this machine resolves them (dtype, tensor parallel size), never those of an
   * order: what registration announces. Undefined until files and GPUs are known.
   */
  readonly configuredArgs: ReadonlySignal<readonly string[] | undefined>
  /**
   * The command line of the node's engines as it was really launched, whoever wished it; before one lives, what the configuration
   * would launch. Undefined while that is not known.
   */
  readonly launchedArgs: ReadonlySignal<readonly string[] | undefined>
}
