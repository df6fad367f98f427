// An engine as the data path sees it. The life owns it and sets its state; the proxy takes turns.
import { signal, type ReadonlySignal, type Signal } from '@preact/signals-core'

/**
 * parked: alive, but a broker's stop hides it (D5). unwell: it said itself that it cannot work; it proves healthy again, or ends.
 * Only `serving` takes new requests.
 */
export type UpstreamState = 'loading' | 'serving' | 'unwell' | 'parked' | 'ending' | 'gone'

/** One request in flight. `using turn = upstream.begin()` */
export interface Turn extends Disposable {
  /** Bytes of work came from the engine: it lives (facts/peers.md B3, hole a). */
  progress(): void
  /** The engine itself failed this request (500, 503, a broken connection): its life looks at it at once. */
  fail(): void
}

export class Upstream {
  readonly id: string
  /** Place among the planned engines, from 0; the order of PoC groups (D7). */
  readonly slot: number
  readonly origin: string
  readonly port: number
  /** The name it serves. */
  readonly model: string
  readonly hasPoc: boolean
  readonly state: Signal<UpstreamState>
  readonly #idle = signal(true)
  readonly #doubts = signal(0)
  #inFlight = 0
  #begun = 0
  /** performance.now() of the last byte of work from the engine. */
  progressAt = 0

  constructor(facts: { id: string; slot: number; port: number; model: string; hasPoc: boolean; state: UpstreamState }) {
    this.id = facts.id
    this.slot = facts.slot
    this.port = facts.port
    this.origin = `http://127.0.0.1:${facts.port}`
    this.model = facts.model
    this.hasPoc = facts.hasPoc
    this.state = signal(facts.state)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** How many turns there were. */
  get begun(): number {
    return this.#begun
  }

  /** True while no turn is open; the end of a life drains by waiting for it. */
  get idle(): ReadonlySignal<boolean> {
    return this.#idle
  }

  /** Grows with every reason to look whether it can still work. */
  get doubts(): ReadonlySignal<number> {
    return this.#doubts
  }

  doubt(): void {
    this.#doubts.value += 1
  }

  begin(): Turn {
    this.#inFlight += 1
    this.#begun += 1
    if (this.#inFlight === 1) this.#idle.value = false
    let open = true
    return {
      progress: () => {
        this.progressAt = performance.now()
      },
      fail: () => this.doubt(),
      [Symbol.dispose]: () => {
        if (!open) return
        open = false
        this.#inFlight -= 1
        if (this.#inFlight === 0) this.#idle.value = true
      },
    }
  }
}
