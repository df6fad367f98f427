// What the MLNode API needs of the daemon.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Inventory } from '../gpu/inventory.ts'
import type { ModelsOnDisk } from '../models/models.ts'
import type { Poc } from '../poc/poc.ts'

/** What the engines were launched with, for the metrics. */
export type Launched = { dtype: string; args: readonly string[] }

export type MlnodeDeps = {
  version: string
  fleet: Pick<Fleet, 'planned' | 'upstreams' | 'status' | 'orders'>
  poc: Poc
  inventory: ReadonlySignal<Inventory>
  models: ModelsOnDisk
  launched: () => Launched | undefined
  metrics: 'full' | 'off'
  log: Log
  clock: Clock
}
