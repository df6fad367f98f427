// Stops: answered at once, whatever the body, whatever runs. Parking ends a PoC round, too; but a round may be waiting for an
// engine that is just away, so it is ended here as well.
import type { FastifyInstance } from 'fastify'
import type { MlnodeDeps } from './deps.ts'
import { takeAnyBody } from './edge.ts'

export function addStops(app: FastifyInstance, { fleet, poc }: MlnodeDeps): void {
  takeAnyBody(app)
  for (const path of ['/api/v1/stop', '/api/v1/inference/down']) {
    app.post(path, () => {
      fleet.orders.stop()
      void poc.stop()
      return { status: 'OK' }
    })
  }
  app.post('/api/v1/inference/pow/stop', () => poc.stop())
  app.post('/api/v1/pow/stop', async () => ({ ...(await poc.stop()), pow_status: { status: 'STOPPED' } }))
}
