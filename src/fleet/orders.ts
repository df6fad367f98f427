// The broker's orders (D5). Shapes; what they do is decided in decide.ts.
import type { ReadonlySignal } from '@preact/signals-core'

export type UpOrder = { model: string; dtype: string; additionalArgs: readonly string[] }

/** GET /api/v1/inference/up/status of node-api.md 1.3, before it is spelled as JSON. */
export type UpStatus = {
  status: 'not_started' | 'in_progress' | 'completed' | 'failed' | 'cancelled'
  isStarting: boolean
  isRunning: boolean
  elapsedSeconds?: number
  error?: string
}

export interface Orders {
  /**
   * Un-parks, joins a load in progress, or reloads; resolves when an engine serves what was ordered.
   * @throws Refusal 409 `startup-in-progress` while a different model is starting, 409 `orders-conflict` (D5) or
   * `node-stopped-by-operator`, 400 `impossible-order`, 500 `ordered-model-missing`
   * @throws the caller's abort reason; the order itself stays
   */
  up(order: UpOrder, caller: AbortSignal): Promise<void>
  /** As `up`, answered as soon as the order is accepted. @throws Refusal as `up` */
  upAsync(order: UpOrder): Promise<void>
  /** `POST /stop` and `/inference/down`: parks for ORDER_GRACE, then ends the engines. Returns at once; idempotent. */
  stop(): void
  readonly upStatus: ReadonlySignal<UpStatus>
  /** INFERENCE as soon as an engine process runs, loading included, and STOPPED while parked (node-api.md 1.1). */
  readonly service: ReadonlySignal<'INFERENCE' | 'STOPPED'>
}
