// `/v1/*` on the control listener: to the launch that serves the model that the body names; without a name to the node's own
// engines, or to the only ones there are. `/launch/{id}/v1/*` goes to that launch.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isTerminal } from '../api/launches.ts'
import type { Log } from '../core/log.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'
import { sendJsonBody, sendOpenAiError } from '../http/send.ts'
import type { ProxyRequest } from '../proxy/proxy.ts'
import type { RequestBody } from '../proxy/request-body.ts'
import { type Catalogue, createCatalogue } from './catalogue.ts'
import { peekModel } from './peek-model.ts'

export type Inference = {
  /** @param path below `/v1/`, with the query */
  byModel(request: IncomingMessage, response: ServerResponse, path: string): void
  /** @param path as the engine sees it */
  ofLaunch(request: IncomingMessage, response: ServerResponse, to: { id: string; path: string }): void
}

export type InferenceDeps = { launches: Launches; proxy: ProxyRequest; log: Log }

export function createInference({ launches, proxy, log }: InferenceDeps): Inference {
  const catalogue = createCatalogue(launches)
  return {
    byModel(request, response, path) {
      const isList = path === '/v1/models' || path.startsWith('/v1/models?')
      const answer =
        isList && (request.method === 'GET' || request.method === 'HEAD')
          ? sendModels(catalogue, request, response)
          : route(request, response, path)
      answer.catch((error: unknown) => {
        // The client left in mid-body: there is nobody to be answered.
        if (response.destroyed) return
        log.error({ err: error, path }, 'request failed')
        refuse(request, response, { status: 500, message: 'Internal Server Error' })
      })
    },
    ofLaunch(request, response, { id, path }) {
      const launch = launches.get(id)
      if (!launch) return refuse(request, response, { status: 404, message: `Unknown launch_id: ${id}` })
      if (isTerminal(launch.state) || launch.state === 'stopping')
        return refuse(request, response, { status: 409, message: `launch ${id} is ${launch.state}` })
      proxy(request, response, path, { among: () => launches.upstreams(id) })
    },
  }

  async function route(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const isJson = /^\s*application\/(?:[\w.+-]+\+)?json\b/i.test(request.headers['content-type'] ?? 'application/json')
    const { model, body } = isJson ? await peekModel(request) : { model: undefined, body: undefined }
    const send = (among: () => readonly Upstream[]) => proxy(request, response, path, { among, body })
    if (model === undefined) return sendUnnamed(request, response, send)
    if (catalogue.byName(model).length > 0) return send(() => catalogue.byName(model))
    await sendOther(request, response, { model, body, send })
  }

  /** Adapters have names that only their engine knows; a launch that loads will serve soon. */
  async function sendOther(
    request: IncomingMessage,
    response: ServerResponse,
    { model, send }: { model: string; body: RequestBody; send: (among: () => readonly Upstream[]) => void },
  ): Promise<void> {
    const serving = await catalogue.read()
    const adapters = serving.filter(({ cards }) => cards.some(({ id }) => id === model))
    if (adapters.length > 0) return send(() => adapters.map(({ upstream }) => upstream))
    const names = [...new Set(serving.flatMap(({ cards }) => cards.map(({ id }) => id)))]
    const there = names.length > 0 ? `there are: ${names.join(', ')}` : 'no model is served at the moment'
    if (launches.all.peek().some((one) => one.model === model && !isTerminal(one.state)))
      return refuse(request, response, { status: 503, message: `The model ${model} is not ready; ${there}` })
    refuse(request, response, { status: 404, message: `The model ${model} does not exist; ${there}` })
  }

  function sendUnnamed(
    request: IncomingMessage,
    response: ServerResponse,
    send: (among: () => readonly Upstream[]) => void,
  ): void {
    const all = launches.all.peek().filter(({ state }) => !isTerminal(state))
    const own = all.find(({ owner }) => owner === 'configuration')
    const serving = all.filter(({ launch_id }) => launches.upstreams(launch_id).length > 0)
    const only = own ?? (serving.length <= 1 ? (serving[0] ?? all[0]) : undefined)
    if (only) return send(() => launches.upstreams(only.launch_id))
    if (serving.length === 0) return send(() => [])
    const names = [...new Set(serving.map(({ model }) => model))]
    refuse(request, response, { status: 400, message: `the body names no model; there are: ${names.join(', ')}` })
  }
}

async function sendModels(catalogue: Catalogue, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume()
  const serving = await catalogue.read()
  if (serving.length === 0)
    return refuse(request, response, { status: 503, message: 'no engine serves at the moment, try again later' })
  const cards = new Map(serving.flatMap((one) => one.cards.map((card) => [card.id, card] as const)).toReversed())
  sendJsonBody(response, 200, { object: 'list', data: [...cards.values()].toReversed() })
}

const types: Record<number, string> = {
  400: 'invalid_request_error',
  404: 'NotFoundError',
  409: 'conflict',
  503: 'service_unavailable',
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, message }: { status: number; message: string },
): void {
  request.resume()
  const retry = status === 503 ? { retryAfter: 5 } : {}
  sendOpenAiError(response, { status, message, type: types[status] ?? 'error', ...retry })
}
