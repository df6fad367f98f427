// What the broker asks every minute: state and versions.
import type { FastifyInstance } from 'fastify'
import type { NodeState, NodeVersions } from '../api/mlnode.ts'
import type { PocStatusAnswer } from '../api/mlnode-poc.ts'
import type { MlnodeDeps } from './deps.ts'

export function addState(app: FastifyInstance, deps: MlnodeDeps): void {
  const { poc, version } = deps
  app.get('/api/v1/state', () => readState(deps))
  app.get('/api/v1/versions', async (): Promise<NodeVersions> => {
    const found = await poc.versions()
    const { vllm_version = null, poc_validation_inference = false } = found ?? {}
    return { version, vllm_version, poc_validation_inference }
  })
}

async function readState({ fleet, poc, version }: MlnodeDeps): Promise<NodeState> {
  const state = fleet.orders.service.peek()
  const serving = fleet.upstreams.peek().filter((one) => one.state.peek() === 'serving')
  const healthy = serving.length > 0
  const [status, versions] = await Promise.all([
    state === 'INFERENCE' ? poc.engineStatus() : undefined,
    healthy ? poc.versions() : undefined,
  ])
  const hasPoc = serving.length === 0 || serving.some((one) => one.hasPoc)
  return {
    state,
    version,
    poc_status: status && hasPoc ? judgePocStatus(status) : null,
    inference_healthy: state === 'INFERENCE' ? healthy : null,
    loaded_model: serving[0]?.model ?? null,
    poc_validation_inference: versions?.poc_validation_inference ?? false,
  }
}

/** As node-api.md 1.2: MIXED only where some engine is at work, else IDLE, whatever else the engines say. */
function judgePocStatus({ status, backends }: PocStatusAnswer): string {
  if (status !== 'MIXED') return status
  return backends.some((one) => one.status === 'GENERATING' || one.status === 'VALIDATING') ? 'MIXED' : 'IDLE'
}
