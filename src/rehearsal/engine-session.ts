// What the routes of a serving rehearsal engine share.
import type { EngineArgs } from './engine-argv.ts'
import type { CoreLink } from './engine-core-link.ts'
import type { Decoder } from './engine-decoder.ts'
import type { Knobs } from './engine-knobs.ts'
import type { EngineLog } from './engine-log.ts'
import type { Counters } from './engine-metrics.ts'
import type { Poc } from './engine-poc.ts'

export type Session = {
  args: EngineArgs
  knobs: Knobs
  log: EngineLog
  core: CoreLink
  decoder: Decoder
  counters: Counters
  poc: Poc
  startedAt: number
  /** False once the core is dead: /health is 503 from then on. */
  isHealthy: () => boolean
}
