// A signal as a bounded async iterable: the present value first, then changes; a slow reader sees the newest, never a queue.
import type { ReadonlySignal } from '@preact/signals-core'
import { onAbort } from './abort.ts'
import { watch } from './watch.ts'

export async function* changesOf<T>(state: ReadonlySignal<T>, abort: AbortSignal): AsyncGenerator<T> {
  const stop = new AbortController()
  const forget = onAbort(abort, () => stop.abort())
  let fresh = true
  let wake: (() => void) | undefined
  watch(
    state,
    () => {
      fresh = true
      wake?.()
    },
    stop.signal,
  )
  const forgetWake = onAbort(stop.signal, () => wake?.())
  try {
    while (!stop.signal.aborted) {
      if (fresh) {
        fresh = false
        yield state.peek()
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
          if (stop.signal.aborted) resolve()
        })
        wake = undefined
      }
    }
  } finally {
    forget()
    forgetWake()
    stop.abort()
  }
}
