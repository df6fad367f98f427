// What main.ts puts together: a part that is up from the moment its start function returned (D10: slowness is a status).
import type { ReadonlySignal } from '@preact/signals-core'
import type { PartStatus, Status } from '../api/status.ts'
import type { Intent } from './intent.ts'

export interface Component {
  readonly name: string
  readonly status: ReadonlySignal<Status>
  /** Details below the part's own line: one per engine, tunnel, API node. */
  readonly parts?: ReadonlySignal<readonly PartStatus[]>
  /** How long its end may take at the worst, ms; 15 s where not said. Nobody waits longer, so that the others end as well. */
  readonly endsWithin?: number
  /** Ends the part within its own bound; never rejects; a second call returns the first's promise. */
  end(intent: Intent): Promise<void>
}
