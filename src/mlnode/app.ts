// The MLNode API (contracts/node-api.md) in its newest shape: all that the API node's broker asks and orders. Every route
// answers within 5 s, whatever an engine does, but `inference/up` and `wait` of PoC, which wait by contract.
import type { FastifyInstance } from 'fastify'
import { addCallbackRelay } from './callback-relay.ts'
import { addClock } from './clock.ts'
import type { MlnodeDeps } from './deps.ts'
import { speakFastApi } from './edge.ts'
import { addGpu } from './gpu.ts'
import { addHealth } from './health.ts'
import { addMetrics } from './metrics.ts'
import { addModels } from './models.ts'
import { addOrders } from './orders.ts'
import { addPocRoutes } from './poc.ts'
import { addPowRoutes } from './pow.ts'
import { addState } from './state.ts'

/** Registers its routes in a scope of their own: content types and error shapes of the rest of `app` stay as they are. */
export function registerMlnode(app: FastifyInstance, deps: MlnodeDeps): void {
  void app.register(async (scope) => {
    speakFastApi(scope, deps.log)
    addHealth(scope, deps)
    for (const add of [addState, addOrders, addPocRoutes, addPowRoutes, addGpu, addModels, addMetrics]) add(scope, deps)
    addClock(scope, deps)
    await scope.register(async (raw) => addCallbackRelay(raw, deps))
  })
}
