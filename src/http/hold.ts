// Keeps the first requests waiting until the parts behind a port are loaded and the engines of the daemon before us are found
// again: to answer them 503 would make an outage of what is none.
import type { IncomingMessage } from 'node:http'
import { computed, type ReadonlySignal, signal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import type { OnRequest } from './server.ts'

/** ms. Callers give a health probe 5 s; an inference or an order far more, and they would lose it to a restart on a busy machine. */
export const patience = { probe: 4000, work: 15_000 }

export type Hold = {
  readonly onRequest: OnRequest
  /**
   * Says who answers, and from when on; whoever has waited long enough is answered by it as things are.
   * @param needsNone of what is answered without any engine, at once: its callers give it less time than it would wait here
   */
  readonly open: (ready: ReadonlySignal<boolean>, handle: OnRequest, needsNone?: NeedsNone) => void
}

type NeedsNone = (url: string) => boolean
type Behind = { ready: ReadonlySignal<boolean>; handle: OnRequest; needsNone: NeedsNone }

const held = new WeakMap<IncomingMessage, number>()

/** ms that a request has waited here: what its caller was promised counts from when it came. */
export const heldFor = (request: IncomingMessage): number => held.get(request) ?? 0

export function createHold(): Hold {
  const behind = signal<Behind | undefined>(undefined)
  return {
    open(ready, handle, needsNone = () => false) {
      behind.value = { ready, handle, needsNone }
    },
    onRequest(request, response) {
      const now = behind.peek()
      const url = request.url ?? ''
      if (now && isDue(now, url)) return now.handle(request, response)
      const came = performance.now()
      const go = () => {
        held.set(request, performance.now() - came)
        if (!response.destroyed) (behind.peek()?.handle ?? answerStarting)(request, response)
      }
      const isProbe = request.method === 'GET' || request.method === 'HEAD'
      const due = computed(() => behind.value !== undefined && isDue(behind.value, url))
      until(due, Boolean, within(isProbe ? patience.probe : patience.work)).then(go, go)
    },
  }
}

const isDue = ({ ready, needsNone }: Behind, url: string): boolean => ready.value || needsNone(url)

export function holdUntil(ready: ReadonlySignal<boolean>, handle: OnRequest): OnRequest {
  const hold = createHold()
  hold.open(ready, handle)
  return hold.onRequest
}

const answerStarting: OnRequest = (_request, response) => {
  response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' })
  response.end(JSON.stringify({ detail: 'gonka-node is starting' }))
}
