// What calls hold of memory, in bytes: bounded for each call and over all of them, so that readers who do not read, and answers that
// come as one message, cost us no more than that. Whoever has no room is told when there may be some.

/** Of one call. */
export interface Share {
  readonly held: number
  /** Another prompt may begin. Where not, `whenSpare` is called once, when one may: later, never from within a call to us. */
  hasRoom(whenSpare: () => void): boolean
  add(bytes: number): void
  free(bytes: number): void
  /** The client has read all of it, or has left: nothing is held any more, and nobody waits. */
  end(): void
}

export interface LookAhead {
  readonly held: number
  share(): Share
}

export type LookAheadBounds = {
  each: number
  all: number
  /**
   * Who goes on once `all` is reached, so that somebody always does. `idle`: calls that hold nothing, with one prompt, up to twice the
   * bound; few wait for the readers of others. `first`: the first call that asks, to its end; calls that hold parts of their answers would else wait for
   * each other.
   */
  passes: 'idle' | 'first'
}

/** What a result costs beyond its bytes: objects, callbacks, the frame of a message. */
const overhead = 512

export const costOf = (bytes: Buffer): number => bytes.length + overhead

type Own = { held: number; over: boolean }

export function createLookAhead({ each, all, passes }: LookAheadBounds): LookAhead {
  const state: { held: number; first: Own | undefined; waking: boolean } = { held: 0, first: undefined, waking: false }
  const waiting = new Map<Own, () => void>()
  const mayPass = (own: Own) =>
    passes === 'idle' ? own.held === 0 && state.held < 2 * all : (state.first ?? own) === own
  const hasRoom = (own: Own) => own.held < each && (state.held < all || mayPass(own))

  function wake(): void {
    state.waking = false
    const woken = [...waiting].filter(([own]) => hasRoom(own))
    for (const [own, then] of woken) if (waiting.delete(own)) then()
  }

  /** Once for all that was freed in one go. */
  function wakeSoon(): void {
    if (state.waking || waiting.size === 0) return
    state.waking = true
    setImmediate(wake)
  }

  function change(own: Own, bytes: number): void {
    if (own.over) return
    own.held += bytes
    state.held += bytes
    if (bytes < 0) wakeSoon()
  }

  return {
    get held() {
      return state.held
    },
    share() {
      const own: Own = { held: 0, over: false }
      return {
        get held() {
          return own.held
        },
        hasRoom(whenSpare) {
          const found = !own.over && hasRoom(own)
          if (found && state.held >= all && passes === 'first') state.first = own
          if (!found && !own.over) waiting.set(own, whenSpare)
          return found
        },
        add: (bytes) => change(own, bytes),
        free: (bytes) => change(own, -bytes),
        end() {
          change(own, -own.held)
          own.over = true
          waiting.delete(own)
          if (state.first === own) state.first = undefined
          wakeSoon()
        },
      }
    },
  }
}
