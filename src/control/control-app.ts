// What :8000 answers: the launch service, `/v1/*` by model, and the bodies of the engine gateway. First the door: who may call it by
// which name, and with which key; `/livez /healthz /health` stay open for probes.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../core/log.ts'
import type { Launches } from '../fleet/launches.ts'
import { type HostRules, judgeCall } from '../http/host-check.ts'
import { sendLimited, sendUnauthorized } from '../http/access-key.ts'
import type { Access, AccessJudge } from '../http/access.ts'
import { toPath } from '../http/prefix.ts'
import { sendDetail } from '../http/send.ts'
import type { OnRequest } from '../http/server.ts'
import { isInference } from '../proxy/inference-app.ts'
import type { ProxyRequest } from '../proxy/proxy.ts'
import { createDocsRoutes } from './docs-routes.ts'
import { createGatewayRoutes } from './gateway-routes.ts'
import type { LaunchCalls } from './launch-calls.ts'
import { createLaunchRoutes } from './launch-routes.ts'
import { createInference, type InferenceDeps } from './route-by-model.ts'
import { createRouter } from './router.ts'
import type { Stats } from './stats.ts'

export type ControlAppDeps = {
  launches: Launches
  calls: LaunchCalls
  stats: Stats
  /** Among the engines of all launches. */
  proxy: ProxyRequest
  isMining: InferenceDeps['isMining']
  access: AccessJudge & Pick<Access, 'isOpen'>
  hosts: HostRules
  build: { sha: string; time: string }
  log: Log
}

const probes = new Set(['/livez', '/healthz', '/health'])

export function createControlApp(deps: ControlAppDeps): OnRequest {
  const { access, hosts, log } = deps
  const inference = createInference(deps)
  const route = createRouter([...createGatewayRoutes(deps), ...createLaunchRoutes(deps), ...createDocsRoutes()], log)
  return (request, response) => {
    const path = toPath(request.url ?? '/')
    if (!probes.has(path.split('?', 1)[0] ?? path) && !mayPass(request, response)) return
    if (isInference(path)) return inference.byModel(request, response, path)
    const [, id, rest] = /^\/launch\/([^/?#]+)(\/.*)$/.exec(path) ?? []
    if (id !== undefined && rest !== undefined && isInference(rest))
      return inference.ofLaunch(request, response, { id, path: rest })
    route(request, response, path)
  }

  function mayPass(request: IncomingMessage, response: ServerResponse): boolean {
    const { host, origin, authorization } = request.headers
    const wrong = judgeCall({ host, origin }, hosts)
    if (wrong) {
      request.resume()
      sendDetail(response, wrong.status, wrong.text)
      return false
    }
    const address = request.socket.remoteAddress ?? ''
    const verdict = access.judge(authorization, address)
    if (verdict === 'unauthorized') sendUnauthorized(request, response)
    if (verdict === 'limited') sendLimited(request, response, access.waitFor(address))
    if (verdict === 'ok' && !access.isOpen) dropHeader(request, 'authorization')
    return verdict === 'ok'
  }
}

/** Our key is not for engines, which are code of others: what is proxied goes by the raw headers. */
function dropHeader({ rawHeaders }: IncomingMessage, name: string): void {
  for (let at = rawHeaders.length - 2; at >= 0; at -= 2)
    if (rawHeaders[at]?.toLowerCase() === name) rawHeaders.splice(at, 2)
}
