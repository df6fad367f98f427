// The MLNode API (contracts/node-api.md) in its newest shape: all that the API node's broker asks and orders. Every route
// answers within 5 s, whatever an engine does, but `inference/up` and `wait` of PoC, which wait by contract.
import type { FastifyInstance } from 'fastify'
import { addCallbackRelay } from './callback-relay.ts'
import { addClock } from './clock.ts'
import type { MlnodeDeps } from './deps.ts'
import { answerDetails } from './edge.ts'
import { addGpu } from './gpu.ts'
import { addHealth } from './health.ts'
import { addMetrics } from './metrics.ts'
import { addModels } from './models.ts'
import { addOrders } from './orders.ts'
import { addPocRoutes } from './poc.ts'
import { addPowRoutes } from './pow.ts'
import { addState } from './state.ts'
import { addStops } from './stops.ts'

/** @param app of http/json-app.ts, which reads bodies and shapes errors. The routes get a scope of their own. */
export function registerMlnode(app: FastifyInstance, deps: MlnodeDeps): void {
  void app.register(async (scope) => {
    answerDetails(scope)
    addHealth(scope, deps)
    for (const add of [addState, addOrders, addPocRoutes, addPowRoutes, addGpu, addModels, addMetrics]) add(scope, deps)
    addClock(scope, deps)
    await scope.register(async (any) => addStops(any, deps))
    await scope.register(async (raw) => addCallbackRelay(raw, deps))
  })
}
