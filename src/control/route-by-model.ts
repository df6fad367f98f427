// `/v1/*` on the control listener: to the launch that serves the model that the body names; without a name to the node's own
// engines, or to the only ones there are. `/launch/{id}/v1/*` goes to that launch.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isTerminal } from '../api/launches.ts'
import type { Log } from '../core/log.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Launches } from '../fleet/launches.ts'
import { sendJsonBody, sendOpenAiError } from '../http/send.ts'
import type { ProxyRequest } from '../proxy/proxy.ts'
import { type Catalogue, createCatalogue } from './catalogue.ts'
import { createPeek } from './peek.ts'

export type Inference = {
  /** @param path below `/v1/`, with the query */
  byModel(request: IncomingMessage, response: ServerResponse, path: string): void
  /** @param path as the engine sees it */
  ofLaunch(request: IncomingMessage, response: ServerResponse, to: { id: string; path: string }): void
}

export type InferenceDeps = {
  launches: Launches
  proxy: ProxyRequest
  /** In a PoC round, in which an engine refuses inference, or is disturbed by it. */
  isMining: (upstream: Upstream) => boolean
  log: Log
}

export function createInference({ launches, proxy, isMining, log }: InferenceDeps): Inference {
  const catalogue = createCatalogue(launches)
  const peek = createPeek()
  return {
    byModel(request, response, path) {
      const isList = path === '/v1/models' || path.startsWith('/v1/models?')
      const answer =
        isList && (request.method === 'GET' || request.method === 'HEAD')
          ? sendModels(catalogue, request, response)
          : route(request, response, path)
      answer.catch((error: unknown) => {
        // The client left in mid-body, or was sent away: there is nobody to be answered.
        if (response.destroyed || response.headersSent) return
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
    const type = request.headers['content-type'] ?? 'application/json'
    const isNamed = /^\s*(?:application\/(?:[\w.+-]+\+)?json|multipart\/form-data)\b/i.test(type)
    const late = () => {
      refuse(request, response, { status: 408, message: `the body names no model within ${peek.within} s` })
      request.socket.destroySoon()
    }
    const peeked = isNamed ? await peek.look(request, response, late) : { model: undefined, body: undefined }
    if (!peeked) return refuse(request, response, { status: 503, message: noRoom })
    const { model, body } = peeked
    const send = (among: () => readonly Upstream[]) =>
      proxy(request, response, path, { among: (except) => preferIdle(leaveOut(among(), except), isMining), body })
    if (model === undefined) {
      const found = pickUnnamed(launches, (own) => (own.every(isMining) ? catalogue.byName(own[0]?.model ?? '') : []))
      if (!Array.isArray(found)) return send(found)
      const message = `the body names no model; there are: ${found.join(', ')}`
      return refuse(request, response, { status: 400, message })
    }
    if (catalogue.byName(model).length > 0) return send(() => catalogue.byName(model))
    await sendOther(request, response, { model, send })
  }

  /** Adapters have names that only their engine knows; a launch that loads will serve soon. */
  async function sendOther(
    request: IncomingMessage,
    response: ServerResponse,
    { model, send }: { model: string; send: (among: () => readonly Upstream[]) => void },
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
}

/** Before the preference: where the only idle one does not answer, one that mines may. */
const leaveOut = (all: readonly Upstream[], except: Upstream | undefined) => all.filter((one) => one !== except)

/** One that mines is asked where no other engine serves the model. */
function preferIdle(all: readonly Upstream[], isMining: (upstream: Upstream) => boolean): readonly Upstream[] {
  const idle = all.filter((one) => one.state.peek() === 'serving' && !isMining(one))
  return idle.length > 0 ? idle : all
}

/** Where a body without a name goes, and `othersFor` those that all mine. @returns the names to choose from where that is not clear */
function pickUnnamed(
  launches: Launches,
  othersFor: (own: readonly Upstream[]) => readonly Upstream[],
): (() => readonly Upstream[]) | string[] {
  const all = launches.all.peek().filter(({ state }) => !isTerminal(state))
  const own = all.find(({ owner }) => owner === 'configuration')
  const serving = all.filter(({ launch_id }) => launches.upstreams(launch_id).length > 0)
  const only = own ?? (serving.length <= 1 ? (serving[0] ?? all[0]) : undefined)
  const among = (own: readonly Upstream[]) => [...new Set([...own, ...othersFor(own)])]
  if (only) return () => among(launches.upstreams(only.launch_id))
  return serving.length === 0 ? () => [] : [...new Set(serving.map(({ model }) => model))]
}

async function sendModels(catalogue: Catalogue, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume()
  const serving = await catalogue.read()
  if (serving.length === 0)
    return refuse(request, response, { status: 503, message: 'no engine serves at the moment, try again later' })
  const cards = new Map(serving.flatMap((one) => one.cards.map((card) => [card.id, card] as const)).toReversed())
  sendJsonBody(response, 200, { object: 'list', data: [...cards.values()].toReversed() })
}

const noRoom = 'too many long bodies are on their way: let "model" be the first field of the body, or try again'

const types: Record<number, string> = {
  400: 'invalid_request_error',
  404: 'NotFoundError',
  408: 'timeout',
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
