// The prompts of one call: begun in order as the desk allows, finished in any, delivered in order.
import { onAbort } from '../core/abort.ts'
import type { Desk, Line } from './desk.ts'
import { costOf, type Share } from './look-ahead.ts'

/** Where results go, encoded. */
export interface Outlet {
  write(bytes: Buffer): void
  /** The reader does not keep up: nothing is written until `onReady` is called. */
  readonly isBehind: boolean
  onReady: () => void
}

export type BatchPlan = {
  count: number
  /** @throws anything; the first failure ends the call */
  ask: (at: number, abort: AbortSignal) => Promise<Buffer>
  outlet: Outlet
  desk: Desk
  share: Share
}

/** Before the first result tells better: with it a call may begin as many as one engine takes. */
const usualCost = 4096

/** Resolves when everything is written. @throws the first failure, after which nothing runs any more; the abort's reason */
export function runBatch(plan: BatchPlan, abort: AbortController): Promise<void> {
  return new Promise((resolve, reject) => {
    const batch = new Batch(plan, abort, { resolve, reject })
    plan.outlet.onReady = () => batch.proceed()
    onAbort(abort.signal, () => batch.fail(abort.signal.reason))
    batch.proceed()
  })
}

type Ends = { resolve: () => void; reject: (error: unknown) => void }

class Batch implements Line {
  readonly #plan: BatchPlan
  readonly #abort: AbortController
  readonly #ends: Ends
  /** Done and not yet written, by place. */
  readonly #done = new Map<number, Buffer>()
  readonly #goOn = () => this.proceed()
  #begun = 0
  #written = 0
  #estimate = usualCost
  #over = false

  constructor(plan: BatchPlan, abort: AbortController, ends: Ends) {
    this.#plan = plan
    this.#abort = abort
    this.#ends = ends
  }

  wants(): boolean {
    if (this.#over || this.#begun === this.#plan.count) return false
    if (this.#abort.signal.aborted) return false
    return this.#plan.share.hasRoom(this.#goOn)
  }

  async begin(): Promise<void> {
    const { ask, share } = this.#plan
    const place = this.#begun
    const estimate = this.#estimate
    this.#begun += 1
    share.add(estimate)
    try {
      const bytes = await ask(place, this.#abort.signal)
      this.#keep(place, bytes)
    } catch (error) {
      this.fail(error)
    } finally {
      share.free(estimate)
    }
    this.proceed()
  }

  proceed(): void {
    try {
      this.#writeAndGoOn()
    } catch (error) {
      this.fail(error)
    }
  }

  #writeAndGoOn(): void {
    const { outlet, share, desk, count } = this.#plan
    if (this.#over) return
    while (!outlet.isBehind) {
      const bytes = this.#done.get(this.#written)
      if (!bytes) break
      this.#done.delete(this.#written)
      this.#written += 1
      // From here on the outlet counts them.
      outlet.write(bytes)
      share.free(costOf(bytes))
    }
    if (this.#written === count) return this.#end(this.#ends.resolve)
    if (this.wants()) desk.offer(this)
  }

  #keep(place: number, bytes: Buffer): void {
    this.#estimate = costOf(bytes)
    if (this.#over) return
    this.#done.set(place, toOwnMemory(bytes))
    this.#plan.share.add(costOf(bytes))
  }

  fail(error: unknown): void {
    this.#end(() => {
      this.#abort.abort(error)
      this.#ends.reject(error)
    })
  }

  #end(tell: () => void): void {
    if (this.#over) return
    this.#over = true
    this.#plan.desk.leave(this)
    for (const bytes of this.#done.values()) this.#plan.share.free(costOf(bytes))
    this.#done.clear()
    tell()
  }
}

/** Small buffers are pieces of a page of 64 KB, which they keep as a whole: results that wait would hold four times their bytes. */
function toOwnMemory(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}
