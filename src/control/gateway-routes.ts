// The bodies of the engine gateway, byte for byte (contracts/inference-gateway.md A2.1). HEAD is answered as GET: probes use it, and
// the old gateway's 405 helped nobody.
import type { Launches } from '../fleet/launches.ts'
import { type Route, toJson } from './router.ts'

export type GatewayDeps = { launches: Launches; build: { sha: string; time: string } }

export function createGatewayRoutes({ launches, build }: GatewayDeps): Route[] {
  const serves = () =>
    launches.all
      .peek()
      .some(({ launch_id }) => launches.upstreams(launch_id).some(({ state }) => state.peek() === 'serving'))
  const health = () => (serves() ? toJson(200, { status: 'ready' }) : toJson(503, { status: 'not_ready' }))
  const methods = ['GET', 'HEAD']
  return [
    { methods, path: '/livez', answer: () => toJson(200, { status: 'alive' }) },
    { methods, path: '/healthz', answer: health },
    { methods, path: '/health', answer: health },
    { methods, path: '/version', answer: () => toJson(200, { build_sha: build.sha, build_time: build.time }) },
  ]
}
