// A bounded amount of memory that many share: who needs some waits for it in turn, and not for ever.
import { onAbort } from '../core/abort.ts'

export interface Room {
  /**
   * Disposing it, however often, gives it back. More than there ever is can be had by one alone.
   * @returns undefined: there was none for too long, or `abort` came first
   */
  take(bytes: number, abort: AbortSignal): Promise<Disposable | undefined>
}

/** @param bounds bytes, and ms to wait for them */
export function createRoom({ most, patience }: { most: number; patience: number }): Room {
  const state = { used: 0 }
  // A set keeps the order of arrival.
  const waiting = new Set<{ bytes: number; end: (hasRoom: boolean) => void }>()

  function serve(): void {
    for (const { bytes, end } of waiting) {
      if (state.used > 0 && state.used + bytes > most) return
      end(true)
    }
  }

  function toLease(bytes: number): Disposable {
    state.used += bytes
    const lease = { bytes }
    return {
      [Symbol.dispose]() {
        state.used -= lease.bytes
        lease.bytes = 0
        serve()
      },
    }
  }

  return {
    take: (bytes, abort) =>
      new Promise((resolve) => {
        if (abort.aborted) return resolve(undefined)
        const late = setTimeout(() => waiter.end(false), patience)
        const waiter = {
          bytes,
          end(hasRoom: boolean) {
            clearTimeout(late)
            forget()
            waiting.delete(waiter)
            resolve(hasRoom ? toLease(bytes) : undefined)
            // It may have stood before smaller ones.
            if (!hasRoom) serve()
          },
        }
        waiting.add(waiter)
        const forget = onAbort(abort, () => waiter.end(false))
        serve()
      }),
  }
}
