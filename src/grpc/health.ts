// grpc.health.v1: our services serve from the first moment to the drain. Which launch is ready is told by REST and by the calls.
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { CallError } from './call-error.ts'
import { serviceNames } from './definitions.ts'

type Ask = { service: string }
type Answer = { status: 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN' }

export interface Health {
  readonly calls: UntypedServiceImplementation
  /** From now on NOT_SERVING; who watches is told, and let go. */
  drain(): void
}

/** They need no key. */
const mostWatchers = 256

const known: readonly string[] = ['', ...Object.values(serviceNames)]

export function createHealth(): Health {
  const watchers = new Set<ServerWritableStream<Ask, Answer>>()
  const state = { draining: false }
  const statusOf = (service: string): Answer['status'] => {
    if (!known.includes(service)) return 'SERVICE_UNKNOWN'
    return state.draining ? 'NOT_SERVING' : 'SERVING'
  }
  return {
    calls: {
      Check(call: ServerUnaryCall<Ask, Answer>, reply: sendUnaryData<Answer>) {
        const status = statusOf(call.request.service)
        if (status === 'SERVICE_UNKNOWN') return reply(new CallError('NOT_FOUND', 'unknown service'))
        reply(null, { status })
      },
      Watch(call: ServerWritableStream<Ask, Answer>) {
        if (watchers.size >= mostWatchers) {
          const why = `${mostWatchers} calls watch already, try again later`
          return void call.emit('error', new CallError('RESOURCE_EXHAUSTED', why))
        }
        call.write({ status: statusOf(call.request.service) })
        if (state.draining) return void call.end()
        watchers.add(call)
        call.on('cancelled', () => watchers.delete(call))
      },
    },
    drain() {
      state.draining = true
      for (const call of watchers) {
        call.write({ status: statusOf(call.request.service) })
        call.end()
      }
      watchers.clear()
    },
  }
}
