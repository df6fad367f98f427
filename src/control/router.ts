// Routes as FastAPI has them: one segment per parameter, 405 with `allow` for a wrong method, 307 for a slash too many or too few,
// 422 and refusals as `{"detail": …}`. Every request gets an answer.
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { InvalidBody } from '../http/json-app.ts'

export type Ask = {
  request: IncomingMessage
  response: ServerResponse
  /** The parameters of the path, decoded, in its order. */
  params: readonly string[]
  query: URLSearchParams
}

export type Answer = { status: number; type: string; text: string; headers?: OutgoingHttpHeaders }

export type Route = {
  methods: readonly string[]
  /** `/status/{launch_id}` */
  path: string
  /** undefined: it has answered by itself. */
  answer: (ask: Ask) => Answer | undefined | Promise<Answer | undefined>
}

export type RoutePath = (request: IncomingMessage, response: ServerResponse, path: string) => void

export const toJson = (status: number, value: unknown, headers: OutgoingHttpHeaders = {}): Answer => ({
  status,
  type: 'application/json',
  text: JSON.stringify(value),
  headers,
})

/** Nothing on it may load or run anything; its styles stand in it. */
export const toPage = (text: string): Answer => ({
  status: 200,
  type: 'text/html; charset=utf-8',
  text,
  headers: {
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    'cache-control': 'no-store',
  },
})

export function createRouter(routes: readonly Route[], log: Log): RoutePath {
  const compiled = routes.map((route) => ({ ...route, matches: toRegExp(route.path) }))
  const find = (path: string) => compiled.filter(({ matches }) => matches.test(path))

  async function answer(request: IncomingMessage, response: ServerResponse, target: string): Promise<void> {
    const [path, search] = splitTarget(target)
    const found = find(path)
    const [first] = found
    const route = found.find(({ methods }) => methods.includes(request.method ?? ''))
    if (route) {
      const params = [...(route.matches.exec(path) ?? [])].slice(1)
      const given = await route.answer({ request, response, params, query: new URLSearchParams(search) })
      if (given) send(request, response, given)
    } else if (first) {
      // Of the first route alone, as Starlette has it: POST for /launch, which has GET too.
      const allow = first.methods.join(', ')
      send(request, response, toJson(405, { detail: 'Method Not Allowed' }, { allow }))
    } else send(request, response, toSlashed(request, path, search) ?? toJson(404, { detail: 'Not Found' }))
  }

  /** The same path with its last slash away, or with one, where that is a route. */
  function toSlashed(request: IncomingMessage, path: string, search: string): Answer | undefined {
    if (path === '/') return undefined
    const other = path.endsWith('/') ? path.replace(/\/+$/, '') : `${path}/`
    if (other === '' || find(other).length === 0) return undefined
    const scheme = 'encrypted' in request.socket ? 'https' : 'http'
    const host = request.headers.host
    const location = `${host === undefined ? '' : `${scheme}://${host}`}${encodeURI(other)}${search && `?${search}`}`
    return { status: 307, type: '', text: '', headers: { location } }
  }

  return (request, response, path) => {
    answer(request, response, path).catch((error: unknown) => {
      // The client left in mid-body.
      if (response.destroyed) return
      const told = describeError(error)
      if (told.status >= 500) log.error({ err: error, method: request.method, path: request.url }, 'request failed')
      if (response.headersSent) response.destroy()
      else send(request, response, told)
    })
  }
}

/** The one place where errors become answers. */
export function describeError(error: unknown): Answer {
  if (error instanceof InvalidBody) return toJson(422, { detail: error.issues })
  if (!(error instanceof Refusal)) return toJson(500, { detail: 'Internal Server Error' })
  // Clients compare texts: what to do about it is for people, who see it on the command line.
  return toJson(error.status, { detail: error.message })
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, text, headers }: Answer): void {
  if (response.headersSent || response.destroyed) return
  const length = Buffer.byteLength(text)
  // A body that nobody wants is not read to its end, however long it is.
  const leaves = !request.complete && status === 413
  if (!request.complete && !leaves) request.resume()
  response.writeHead(status, {
    ...(type && { 'content-type': type }),
    'content-length': length,
    ...headers,
    ...(leaves && { connection: 'close' }),
  })
  response.end(request.method === 'HEAD' ? undefined : text)
  if (leaves) response.once('finish', () => request.socket.destroySoon())
}

/** Decoded path and raw query, as Starlette routes them: an encoded slash is a slash. */
function splitTarget(target: string): [string, string] {
  const at = target.indexOf('?')
  const [path, search] = at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)]
  try {
    return [decodeURIComponent(path), search]
  } catch {
    return [path, search]
  }
}

function toRegExp(path: string): RegExp {
  const source = path.split(/\{\w+\}/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  return new RegExp(`^${source.join('([^/]+)')}$`)
}
