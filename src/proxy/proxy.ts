// The data path: a request goes to the least busy serving engine and its answer streams back. No body is read, none is
// kept; a client that leaves is told to the engine at once; what fails before anything was sent, or is refused
// by an engine that mines, is tried once elsewhere.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ReadonlySignal } from '@preact/signals-core'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Upstream } from '../engine/upstream.ts'
import { hasBody } from '../http/idle-body.ts'
import { sendOpenAiError } from '../http/send.ts'
import { ConnectionPool, engineLimits } from './connection-pool.ts'
import { type Ending, Exchange } from './exchange.ts'
import { renderAsk } from './render-ask.ts'
import { createPerUpstream } from './per-upstream.ts'
import { pickUpstream } from './pick.ts'
import { type RequestBody, takeBody } from './request-body.ts'

/**
 * @param path where it goes at the engine, with the query
 * @param choice where others than all engines may take it, or its body was read already
 */
export type ProxyRequest = (request: IncomingMessage, response: ServerResponse, path: string, choice?: Choice) => void

export type Choice = {
  /** Those that may take it, asked again for a second try, without the one that was tried. */
  among?: (except?: Upstream) => readonly Upstream[]
  body?: RequestBody
}

export interface Proxy {
  readonly handle: ProxyRequest
  /** Drops what still runs. */
  end(): void
}

export type ProxyOptions = {
  upstreams: ReadonlySignal<readonly Upstream[]>
  log: Log
  limits?: Partial<ProxyLimits>
}

/** ms. */
export const proxyLimits = {
  ...engineLimits,
  /** A client that stops sending in mid-body for so long is sent away. */
  idleBody: 120_000,
}

export type ProxyLimits = typeof proxyLimits

/** s. Loads take minutes, but a parked or restarting engine may be back soon. */
const retryAfter = 5

export function createProxy({ upstreams, log, limits: given }: ProxyOptions): Proxy {
  const limits = { ...proxyLimits, ...given }
  const pools = createPerUpstream(upstreams, {
    make: ({ port }) => new ConnectionPool(port, limits),
    close: (pool) => pool.close(),
  })
  const state = { turn: 0 }
  const all = () => upstreams.peek()

  function begin(call: Call, body: RequestBody, except?: Upstream): void {
    const upstream = pickUpstream(call.among(except), (state.turn += 1), except)
    if (!upstream) return sendNoEngine(call.response)
    const { request, response, path } = call
    if (response.destroyed) return
    const turn = upstream.begin()
    const exchange = new Exchange({
      request,
      response,
      turn,
      hasElsewhere: () => canElsewhere(call, upstream) && isWhole(body),
      onEnd: (ending) => finish(call, body, upstream, ending),
    })
    pools.of(upstream).dispatch(renderAsk(request, path, { body, port: upstream.port }), exchange)
  }

  function finish(call: Call, body: RequestBody, upstream: Upstream, ending: Ending): void {
    if (ending.how === 'answered' || ending.how === 'client-left') return
    if (ending.how === 'declined') return repeat(call, body, upstream)
    const { request, response } = call
    log.warn(
      { engine: upstream.id, method: request.method, how: ending.how, code: codeOf(ending.error) },
      `request failed: ${messageOf(ending.error)}`,
    )
    if (ending.how === 'truncated') return
    if (ending.sent && codeOf(ending.error) === 'ETIMEDOUT') return sendSilent(response)
    if (canElsewhere(call, upstream) && mayRepeat(request, ending.sent)) return repeat(call, body, upstream)
    sendBroken(response)
  }

  function repeat(call: Call, body: RequestBody, except: Upstream): void {
    call.repeated = true
    begin(call, body, except)
  }

  return {
    handle(request, response, path, { among = all, body: read } = {}) {
      // Decided before the body is read: a big upload is not swallowed for nothing.
      if (!pickUpstream(among(), 0)) return sendNoEngine(response)
      const call: Call = { request, response, path, repeated: false, among }
      if (read) begin(call, read)
      else
        takeBody(request, { idleMs: limits.idleBody, cut: () => sendIdle(request, response) }, (body) =>
          begin(call, body),
        )
    },
    end() {
      for (const pool of pools.end()) pool.destroy(new Error('the proxy ends'))
    },
  }
}

type Call = {
  request: IncomingMessage
  response: ServerResponse
  path: string
  repeated: boolean
  among: (except?: Upstream) => readonly Upstream[]
}

const canElsewhere = ({ repeated, among }: Call, tried: Upstream) =>
  !repeated && pickUpstream(among(tried), 0, tried) !== undefined

/** What was streamed to one engine is gone. */
const isWhole = (body: RequestBody) => body === undefined || Buffer.isBuffer(body)

/** Nothing sent: any request. Sent: only one that changes nothing and has no body. Pure. */
export function mayRepeat(request: Pick<IncomingMessage, 'method' | 'headers'>, sent: boolean): boolean {
  if (!sent) return true
  const isSafe = request.method === 'GET' || request.method === 'HEAD' || request.method === 'OPTIONS'
  return isSafe && !hasBody(request as IncomingMessage)
}

function sendNoEngine(response: ServerResponse): void {
  const message = 'no engine serves at the moment, try again later'
  sendOpenAiError(response, { status: 503, message, type: 'service_unavailable', retryAfter })
}

/** An hour: nobody asks once more elsewhere. */
function sendSilent(response: ServerResponse): void {
  sendOpenAiError(response, { status: 504, message: 'the engine did not answer in time', type: 'gateway_timeout' })
}

/** The end of the response ends the try at the engine, too. */
export function sendIdle(request: IncomingMessage, response: ServerResponse): void {
  if (response.headersSent) return void request.socket.destroy()
  response.shouldKeepAlive = false
  sendOpenAiError(response, { status: 408, message: 'the body of the request stopped coming', type: 'timeout' })
}

function sendBroken(response: ServerResponse): void {
  const message = 'the engine broke off before it answered'
  sendOpenAiError(response, { status: 502, message, type: 'bad_gateway' })
}
