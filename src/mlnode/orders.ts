// The broker's orders to start, and how far one is. What they do is decided in fleet/ (D5).
import type { FastifyInstance } from 'fastify'
import { type UpStatusAnswer, upBody } from '../api/mlnode.ts'
import { isAbort } from '../core/abort.ts'
import { messageOf, Refusal } from '../core/errors.ts'
import type { UpOrder } from '../fleet/orders.ts'
import { parseBody } from '../http/pydantic-issues.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail, describeRefusal, whenCallerLeaves } from './edge.ts'

export function addOrders(app: FastifyInstance, { fleet, log }: MlnodeDeps): void {
  const { orders } = fleet
  app.post('/api/v1/inference/up', async (request, reply) => {
    const order = toOrder(parseBody(upBody, request.body))
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
    const order = toOrder(parseBody(upBody, request.body))
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
}

function toOrder(body: { model: string; dtype: string; additional_args: string[] }): UpOrder {
  return { model: body.model, dtype: body.dtype, additionalArgs: body.additional_args }
}

/** Clients look for the route to ask next in the text of a 409. */
function toUpError(error: unknown): Detail {
  if (!(error instanceof Refusal)) return new Detail(500, messageOf(error))
  const text = describeRefusal(error)
  const next = '/api/v1/inference/up/status'
  const hint = error.code === 'startup-in-progress' && !text.includes(next) ? `; check its progress with ${next}` : ''
  return new Detail(error.status, `${text}${hint}`)
}
