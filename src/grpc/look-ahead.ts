// What is computed ahead of readers, in bytes: bounded for each streaming call and over all of them, so that readers who do
// not read cost us no memory beyond that.

/** Of one call. */
export interface Share {
  readonly isFull: boolean
  add(bytes: number): void
  free(bytes: number): void
  /** Calls `then` once, when others have made room. */
  whenSpare(then: () => void): void
}

export interface LookAhead {
  readonly held: number
  share(): Share
}

export type LookAheadBounds = { each: number; all: number }

export function createLookAhead({ each, all }: LookAheadBounds): LookAhead {
  const state = { held: 0 }
  const waiting = new Set<() => void>()
  const wake = () => {
    const woken = [...waiting]
    waiting.clear()
    for (const then of woken) then()
  }
  return {
    get held() {
      return state.held
    },
    share() {
      const own = { held: 0 }
      return {
        get isFull() {
          return own.held >= each || state.held >= all
        },
        add(bytes) {
          own.held += bytes
          state.held += bytes
        },
        free(bytes) {
          own.held -= bytes
          state.held -= bytes
          if (state.held < all && waiting.size > 0) wake()
        },
        whenSpare: (then) => void waiting.add(then),
      }
    },
  }
}

/** For a call whose answer is one message: it needs all of it anyway. */
export const unbounded: Share = { isFull: false, add: () => {}, free: () => {}, whenSpare: () => {} }
