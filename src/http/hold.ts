// Keeps the first requests after a restart waiting until the engines of the daemon before us are found again: to answer them
// 503 would make an outage of what is none.
import type { ReadonlySignal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import type { OnRequest } from './server.ts'

/** Callers give a health probe 5 s. */
const bound = 4000

export function holdUntil(ready: ReadonlySignal<boolean>, handle: OnRequest): OnRequest {
  return (request, response) => {
    if (ready.peek()) return handle(request, response)
    const go = () => {
      if (!response.destroyed) handle(request, response)
    }
    until(ready, Boolean, within(bound)).then(go, go)
  }
}
