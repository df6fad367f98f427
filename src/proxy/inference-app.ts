// What :5000 answers: vLLM's surface and nothing else of it (D8). Health comes from our own state, at once.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ReadonlySignal } from '@preact/signals-core'
import type { Upstream } from '../engine/upstream.ts'
import { stripVersionPrefix, toPath } from '../http/prefix.ts'
import { sendDetail, sendText } from '../http/send.ts'
import type { OnRequest } from '../http/server.ts'
import type { ProxyRequest } from './proxy.ts'
import { readMergedMetrics } from './scrape.ts'

export type InferenceAppOptions = {
  upstreams: ReadonlySignal<readonly Upstream[]>
  proxy: ProxyRequest
  /** Proves our tunnels: the JSON body for its own path. */
  answerNonce?: (path: string) => string | undefined
}

export function createInferenceApp({ upstreams, proxy, answerNonce }: InferenceAppOptions): OnRequest {
  const serves = () => upstreams.peek().some(({ state }) => state.peek() === 'serving')
  return (request, response) => {
    const path = stripVersionPrefix(toPath(request.url ?? '/'))
    if (isInference(path)) return proxy(request, response, path)
    const name = path.split('?', 1)[0]
    if (name === '/version') return proxy(request, response, path)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    const proof = answerNonce?.(path)
    if (proof !== undefined) return sendText(response, 'application/json', proof)
    if (name !== '/health' && name !== '/metrics') return refuse(request, response, 404)
    if (!isRead) return refuse(request, response, 405)
    if (name === '/health') return sendHealth(response, serves())
    void sendMetrics(response, upstreams.peek())
  }
}

/** A segment that climbs, plain or encoded: whoever resolves it behind us would leave `/v1/`. */
const climbing = /(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\?#]|%2f|%5c|$)/i

/** What every listener passes on to engines: below `/v1/`, also for an engine that resolves `..` (D8). */
export function isInference(path: string): boolean {
  if (!path.startsWith('/v1/')) return false
  // Almost no path has either, and this runs for each.
  if (!path.includes('.') && !path.includes('%')) return true
  const end = path.search(/[?#]/)
  return !climbing.test(end < 0 ? path : path.slice(0, end))
}

function sendHealth(response: ServerResponse, isServing: boolean): void {
  const headers = { 'content-length': 0, ...(isServing ? {} : { 'retry-after': '5' }) }
  response.writeHead(isServing ? 200 : 503, headers).end()
}

async function sendMetrics(response: ServerResponse, upstreams: readonly Upstream[]): Promise<void> {
  const text = await readMergedMetrics(upstreams)
  if (response.destroyed) return
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

function refuse(request: IncomingMessage, response: ServerResponse, status: 404 | 405): void {
  request.resume()
  if (status === 405) response.setHeader('allow', 'GET, HEAD')
  sendDetail(response, status, status === 404 ? 'Not Found' : 'Method Not Allowed')
}
