// The unix socket that the CLI talks to: JSON over HTTP, for root and the service's group (0660). No key, no proxying.
import { chmod, mkdir, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from '../core/node-http.ts'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Component } from '../core/component.ts'
import { Refusal, codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createStatus } from '../core/status-signal.ts'
import { toControlProblem } from './problems.ts'

export type SocketRequest = { query: URLSearchParams; body: unknown; abort: AbortSignal }

/** Answers with a JSON value, or with a stream of them, one per line, until the caller leaves. */
export type SocketRoute = (request: SocketRequest) => Promise<unknown> | AsyncIterable<unknown>

/** `GET /status` → route. */
export type SocketRoutes = Readonly<Record<`${'GET' | 'POST'} /${string}`, SocketRoute>>

/** 1 MiB: the largest body is a registration. */
const bodyLimit = 1_048_576

export function startSocket(options: { path: string; routes: SocketRoutes; log: Log }): Component {
  const { path, routes, log } = options
  const status = createStatus(`opening ${path}`)
  const server = createServer((request, response) => void answer(routes, request, response, log))
  const opened = open(server, path).then(
    () => status.set('ok', `listening on ${path}`),
    (error: unknown) => {
      log.error({ err: error }, 'control socket failed to open')
      const problem = toControlProblem('control-socket', messageOf(error))
      status.set('degraded', 'the command line cannot reach this daemon', problem)
    },
  )
  return {
    name: 'socket',
    status: status.signal,
    async end() {
      await opened
      server.closeAllConnections()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
}

async function open(server: Server, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  if (await answers(path)) throw new Error(`another daemon answers on ${path}`)
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  await chmod(path, 0o660)
}

/** A socket file without a listener is left over from a killed daemon. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy()
      resolve(true)
    })
    probe.on('error', () => resolve(false))
  })
}

async function answer(
  routes: SocketRoutes,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const url = new URL(request.url ?? '/', 'http://socket')
    const route = routes[`${request.method} ${url.pathname}` as keyof SocketRoutes]
    if (!route)
      throw new Refusal('no-such-route', 404, `this daemon has no ${request.method} ${url.pathname}`, {
        remedy: 'use the gonka-node program of the same version as the daemon',
      })
    const found = route({ query: url.searchParams, body: await readBody(request), abort: gone.signal })
    if (Symbol.asyncIterator in found) return await stream(found, response, gone.signal)
    send(response, 200, await found)
  } catch (error) {
    if (gone.signal.aborted) return
    if (!(error instanceof Refusal)) log.error({ err: error, url: request.url }, 'socket request failed')
    const refusal = error instanceof Refusal ? error : new Refusal('internal', 500, messageOf(error))
    if (response.headersSent) response.destroy()
    else send(response, refusal.status, { code: refusal.code, message: refusal.message, remedy: refusal.remedy })
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyLimit) throw new Refusal('body-too-large', 413, `the body has more than ${bodyLimit} bytes`)
    chunks.push(chunk)
  }
  if (size === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    throw new Refusal('body-not-json', 400, `the body is no JSON: ${messageOf(error)}`)
  }
}

/** The head waits for the first value: what is refused before it is answered as a refusal. */
async function stream(values: AsyncIterable<unknown>, response: ServerResponse, gone: AbortSignal): Promise<void> {
  const ndjson = { 'content-type': 'application/x-ndjson' }
  for await (const value of values) {
    if (gone.aborted) return
    if (!response.headersSent) response.writeHead(200, ndjson)
    // A reader that does not read is waited for: values are states, so what it missed it does not need.
    if (!response.write(`${JSON.stringify(value)}\n`))
      await new Promise<void>((resolve) => response.once('drain', resolve).once('close', resolve))
  }
  if (!response.headersSent) response.writeHead(200, ndjson)
  response.end()
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value ?? null)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
