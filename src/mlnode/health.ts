// Probes. They answer from the first moment and say what the old node's said: alive while a model loads, unhealthy when
// inference failed or the GPUs are gone. None of them means that a model is loaded.
import type { FastifyInstance } from 'fastify'
import type { NodeHealth } from '../api/mlnode.ts'
import type { MlnodeDeps } from './deps.ts'
import { toDevices } from './gpu.ts'

export function addHealth(app: FastifyInstance, deps: MlnodeDeps): void {
  for (const path of ['/health', '/livez']) {
    app.get(path, (_request, reply) => {
      const health = describeHealth(deps)
      return reply.code(health.status === 'healthy' ? 200 : 503).send(health)
    })
  }
  app.get('/readyz', (_request, reply) => {
    const { managers } = describeHealth(deps)
    const ready = !managers.inference.running || managers.inference.healthy
    return reply.code(ready ? 200 : 503).send({ ready })
  })
}

export function describeHealth({ fleet, poc, inventory }: MlnodeDeps): NodeHealth {
  const service = fleet.orders.service.peek()
  const serving = fleet.upstreams.peek().some((one) => one.state.peek() === 'serving')
  const failed = fleet.status.peek().health === 'failed'
  const inference = { running: service === 'INFERENCE', healthy: serving || !failed }
  const pow = { running: poc.round.peek() !== undefined, healthy: poc.status.peek().health !== 'failed' }
  const gpus = inventory.peek()
  const devices = toDevices(gpus)
  // Engines on a CPU need none, and one that serves has what it needs.
  const gpuMissing = (gpus.kind === 'none' || gpus.kind === 'failed') && fleet.planned.peek()?.gpusPerEngine !== 0
  const bad = (inference.running && !inference.healthy) || (gpuMissing && !serving)
  return {
    status: bad ? 'unhealthy' : 'healthy',
    service_state: service,
    gpu: { available: devices.length > 0, count: devices.length, devices },
    managers: { pow, inference, train: { running: false, healthy: true } },
  }
}
