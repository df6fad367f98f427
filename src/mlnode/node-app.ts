// What :8080 answers: the MLNode API, `/v1/*` straight to the engines, and the nonce that proves our tunnels.
import { createJsonApp } from '../http/json-app.ts'
import { stripVersionPrefix, toPath } from '../http/prefix.ts'
import { sendText } from '../http/send.ts'
import type { OnRequest } from '../http/server.ts'
import { isInference } from '../proxy/inference-app.ts'
import type { ProxyRequest } from '../proxy/proxy.ts'
import type { Nonce } from '../tunnel/nonce.ts'
import { registerMlnode } from './app.ts'
import type { MlnodeDeps } from './deps.ts'

export function createNodeApp(deps: MlnodeDeps & { proxy: ProxyRequest; nonce: Nonce }): OnRequest {
  const { proxy, nonce, log } = deps
  const app = createJsonApp({ log, routes: (fastify) => registerMlnode(fastify, deps) })
  return (request, response) => {
    const path = stripVersionPrefix(toPath(request.url ?? '/'))
    if (isInference(path)) return proxy(request, response, path)
    const proof = nonce.answer(path)
    if (proof !== undefined) return sendText(response, 'application/json', proof)
    request.url = path
    app.onRequest(request, response)
  }
}
