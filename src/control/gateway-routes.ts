// What :8000 answers: the bodies of the engine gateway, byte for byte, and `/v1/*` (contracts/inference-gateway.md A2.1).
// `/livez /healthz /health` stay open for probes; everything else needs the key where there is one.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Upstream } from '../engine/upstream.ts'
import type { AccessJudge } from '../http/access.ts'
import { sendLimited, sendUnauthorized } from '../http/access-key.ts'
import { toPath } from '../http/prefix.ts'
import { sendDetail, sendJsonBody } from '../http/send.ts'
import type { OnRequest } from '../http/server.ts'
import { isInference } from '../proxy/inference-app.ts'
import type { ProxyRequest } from '../proxy/proxy.ts'

export type GatewayDeps = {
  upstreams: ReadonlySignal<readonly Upstream[]>
  proxy: ProxyRequest
  access: AccessJudge
  build: { sha: string; time: string }
}

const open = new Set(['/livez', '/healthz', '/health'])

export function createGatewayApp({ upstreams, proxy, access, build }: GatewayDeps): OnRequest {
  const serves = () => upstreams.peek().some(({ state }) => state.peek() === 'serving')
  return (request, response) => {
    const path = toPath(request.url ?? '/')
    const name = path.split('?', 1)[0] ?? path
    if (!open.has(name)) {
      const address = request.socket.remoteAddress ?? ''
      const verdict = access.judge(request.headers.authorization, address)
      if (verdict === 'unauthorized') return sendUnauthorized(request, response)
      if (verdict === 'limited') return sendLimited(request, response, access.waitFor(address))
    }
    if (isInference(path)) return proxy(request, response, path)
    request.resume()
    const isKnown = open.has(name) || name === '/version'
    if (!isKnown) return sendDetail(response, 404, 'Not Found')
    // HEAD is answered as GET: probes use it, and the old gateway's 405 helped nobody.
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET')
      return sendDetail(response, 405, 'Method Not Allowed')
    }
    if (name === '/livez') return sendJsonBody(response, 200, { status: 'alive' })
    if (name === '/version') return sendJsonBody(response, 200, { build_sha: build.sha, build_time: build.time })
    return serves()
      ? sendJsonBody(response, 200, { status: 'ready' })
      : sendJsonBody(response, 503, { status: 'not_ready' })
  }
}
