// Shares the engines of one launch among the calls that use it: a bounded number of prompts at a time, calls in turn, so
// that a call with one prompt does not wait behind one with a hundred thousand.

/** What a call has to do. */
export interface Line {
  /** A prompt may begin now. */
  wants(): boolean
  /** Begins one. Resolves when it is over, however; never rejects. */
  begin(): Promise<void>
}

export interface Desk {
  /** The line wants to begin: it is asked as soon as it is its turn. */
  offer(line: Line): void
  leave(line: Line): void
}

/** Of one go: a thousand new connections at once would hold up everything else for 100 ms. */
const burst = 32

export function createDesk(capacity: () => number): Desk {
  // A set keeps the order of arrival: the first is next, and goes to the end.
  const waiting = new Set<Line>()
  const state = { running: 0, pumping: false }

  function pump(): void {
    for (let begun = 0; begun < burst; begun += 1) {
      const line = state.running < capacity() ? takeNext() : undefined
      if (!line) return
      state.running += 1
      void line.begin().then(() => {
        state.running -= 1
        pumpSoon()
      })
      if (line.wants()) waiting.add(line)
    }
    pumpSoon()
  }

  function pumpSoon(): void {
    if (state.pumping || waiting.size === 0) return
    state.pumping = true
    setImmediate(() => {
      state.pumping = false
      pump()
    })
  }

  function takeNext(): Line | undefined {
    for (const line of waiting) {
      waiting.delete(line)
      if (line.wants()) return line
    }
    return undefined
  }

  return {
    offer(line) {
      waiting.add(line)
      pumpSoon()
    },
    leave: (line) => void waiting.delete(line),
  }
}
