// What the MLNode API needs of the daemon.
import type { ReadonlySignal } from '@preact/signals-core'
import type { ModelStatus } from '../api/mlnode-models.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Inventory } from '../gpu/inventory.ts'
import type { ModelRef } from '../models/files.ts'
import type { Poc } from '../poc/poc.ts'

/** Models on disk, in the broker's terms. */
export interface NodeModels {
  status(model: ModelRef): Promise<ModelState>
  /** Starts it in the background. ignored: downloads are switched off. @throws Refusal 409 already downloading, 429 too many, 400 no such model */
  download(model: ModelRef): Promise<'started' | 'ignored'>
  /** @throws Refusal 404 */
  remove(model: ModelRef): Promise<'deleted' | 'cancelled'>
  list(): Promise<readonly { model: ModelRef; status: ModelStatus }[]>
  space(): Promise<{ cacheBytes: number; availableBytes: number; path: string }>
}

export type ModelState = { status: ModelStatus; startedAt?: Date; error?: string }

/** What the engines were launched with, for the metrics. */
export type Launched = { dtype: string; args: readonly string[] }

export type MlnodeDeps = {
  version: string
  fleet: Pick<Fleet, 'planned' | 'upstreams' | 'status' | 'orders'>
  poc: Poc
  inventory: ReadonlySignal<Inventory>
  models: NodeModels
  launched: () => Launched | undefined
  metrics: 'full' | 'off'
  log: Log
  clock: Clock
}
