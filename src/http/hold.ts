// Keeps the first requests waiting until the parts behind a port are loaded and the engines of the daemon before us are found
// again: to answer them 503 would make an outage of what is none.
import { computed, type ReadonlySignal, signal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import type { OnRequest } from './server.ts'

/** ms. Callers give a health probe 5 s; an inference or an order far more, and they would lose it to a restart on a busy machine. */
const patience = { probe: 4000, work: 15_000 }

export type Hold = {
  readonly onRequest: OnRequest
  /**
   * Says who answers, and from when on; whoever has waited long enough is answered by it as things are.
   * @param isProof what needs no engine, and is asked by our own tunnels, which give it no longer than a probe waits here
   */
  readonly open: (ready: ReadonlySignal<boolean>, handle: OnRequest, isProof?: IsProof) => void
}

type IsProof = (url: string) => boolean
type Behind = { ready: ReadonlySignal<boolean>; handle: OnRequest; isProof: IsProof }

export function createHold(): Hold {
  const behind = signal<Behind | undefined>(undefined)
  const isReady = computed(() => behind.value?.ready.value ?? false)
  return {
    open(ready, handle, isProof = () => false) {
      behind.value = { ready, handle, isProof }
    },
    onRequest(request, response) {
      const now = behind.peek()
      if (now?.ready.peek() || now?.isProof(request.url ?? '')) return now.handle(request, response)
      const go = () => {
        if (!response.destroyed) (behind.peek()?.handle ?? answerStarting)(request, response)
      }
      const isProbe = request.method === 'GET' || request.method === 'HEAD'
      until(isReady, Boolean, within(isProbe ? patience.probe : patience.work)).then(go, go)
    },
  }
}

export function holdUntil(ready: ReadonlySignal<boolean>, handle: OnRequest): OnRequest {
  const hold = createHold()
  hold.open(ready, handle)
  return hold.onRequest
}

const answerStarting: OnRequest = (_request, response) => {
  response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' })
  response.end(JSON.stringify({ detail: 'gonka-node is starting' }))
}
