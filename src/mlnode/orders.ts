// The broker's orders: up, down and how far an up is. What they do is decided in fleet/ (D5).
import type { FastifyInstance } from 'fastify'
import { type UpStatusAnswer, upBody } from '../api/mlnode.ts'
import { isAbort } from '../core/abort.ts'
import { messageOf, Refusal } from '../core/errors.ts'
import type { UpOrder } from '../fleet/orders.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail, describeRefusal, readBody, whenCallerLeaves } from './edge.ts'

export function addOrders(app: FastifyInstance, { fleet, poc, log }: MlnodeDeps): void {
  const { orders } = fleet
  app.post('/api/v1/inference/up', async (request, reply) => {
    const order = toOrder(readBody(request, upBody))
    const caller = whenCallerLeaves(reply)
    try {
      await orders.up(order, caller)
    } catch (error) {
      if (!caller.aborted || !isAbort(error)) throw toUpError(error)
      log.info({ model: order.model }, 'caller of inference/up left, the order stays')
    }
    return { status: 'OK' }
  })
  app.post('/api/v1/inference/up/async', async (request) => {
    const order = toOrder(readBody(request, upBody))
    try {
      await orders.upAsync(order)
    } catch (error) {
      throw toUpError(error)
    }
    return { status: 'starting', message: `${order.model} is starting; poll /api/v1/inference/up/status` }
  })
  app.get('/api/v1/inference/up/status', (): UpStatusAnswer => {
    const { status, isStarting, isRunning, elapsedSeconds, error } = orders.upStatus.peek()
    return {
      status,
      is_starting: isStarting,
      is_running: isRunning,
      elapsed_seconds: elapsedSeconds ?? null,
      error: error ?? null,
    }
  })
  app.post('/api/v1/inference/down', () => {
    orders.stop()
    void poc.stop()
    return { status: 'OK' }
  })
}

function toOrder(body: { model: string; dtype: string; additional_args: string[] }): UpOrder {
  return { model: body.model, dtype: body.dtype, additionalArgs: body.additional_args }
}

/** Clients look for the route to ask next in the text of a 409. */
function toUpError(error: unknown): Detail {
  if (!(error instanceof Refusal)) return new Detail(500, messageOf(error))
  const text = describeRefusal(error)
  const route = error.code === 'startup-in-progress' ? '/inference/up/status' : '/inference/down'
  if (error.status !== 409 || text.includes(route)) return new Detail(error.status, text)
  const hint = error.code === 'startup-in-progress' ? 'check its progress with' : 'stop what runs with'
  return new Detail(409, `${text}; ${hint} /api/v1${route}`)
}
