// Fastify for our own JSON routes: FastAPI's error shapes, a body limit, and no server of its own. Proxied requests never come here.
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { messageOf, Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { cutIdleBody, hasBody, limitBody } from './idle-body.ts'
import { createRouteMethods } from './route-methods.ts'
import { sendDetail } from './send.ts'
import type { OnRequest } from './server.ts'

export type JsonAppOptions = {
  log: Log
  /** Bytes; 16 MiB carries 100,000 nonces with their vectors. */
  bodyLimit?: number
  /** ms without a byte in mid-body, after which the client is cut off. */
  bodyIdle?: number
  /** ms for a whole body that is short; long ones get more (limitBody). */
  bodyWithin?: number
  /** Adds the routes. */
  routes: (app: FastifyInstance) => void
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route passes its body on as it comes: it may take as long as it likes. */
    streamsBody?: boolean
  }
}

/** Our routes have no JSON schemas (zod judges bodies): without compilers of its own fastify leaves ajv, 5 MB, on disk. */
const schemaController = { compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema } }

/** Returns at once: fastify (60 ms) is loaded behind, and requests that come earlier wait for it. */
export function createJsonApp(options: JsonAppOptions): { onRequest: OnRequest; ready: Promise<void> } {
  const { bodyIdle = 20_000 } = options
  const state: { route?: OnRequest } = {}
  const loaded = loadApp(options).then((app) => {
    state.route = (request, response) => app.routing(request, response)
  })
  return {
    ready: loaded,
    onRequest(request, response) {
      if (hasBody(request)) cutIdleBody(request, bodyIdle)
      if (state.route) return state.route(request, response)
      loaded.then(
        () => state.route?.(request, response),
        () => sendDetail(response, 500, 'Internal Server Error'),
      )
    },
  }
}

async function loadApp(options: JsonAppOptions): Promise<FastifyInstance> {
  const { log, bodyLimit = 16 * 1024 * 1024, bodyWithin = 30_000, routes } = options
  // 45 ms of work: not before the ports are open, which comes with this turn of the event loop.
  await setImmediate()
  const { fastify } = await import('fastify')
  const app = fastify({ bodyLimit, routerOptions: { ignoreTrailingSlash: true }, schemaController })
  const methods = createRouteMethods()
  app.addHook('onRoute', (route) => methods.add(route.url, [route.method].flat()))
  app.addHook('preParsing', (request, reply, _payload, done) => {
    const { streamsBody = false } = request.routeOptions.config
    if (hasBody(request.raw) && !streamsBody) limitBody(request.raw, reply.raw, bodyWithin)
    done()
  })
  acceptAnyJson(app)
  app.setErrorHandler((error, request, reply) => {
    const { status, detail } = judgeError(error)
    if (status >= 500) log.error({ err: error, method: request.method, url: request.url }, 'request failed')
    return reply.code(status).send({ detail })
  })
  app.setNotFoundHandler((request, reply) => {
    const allowed = methods.of(request.url.split('?')[0] ?? '/')
    if (allowed.length === 0) return reply.code(404).send({ detail: 'Not Found' })
    return reply.code(405).header('allow', allowed.join(', ')).send({ detail: 'Method Not Allowed' })
  })
  routes(app)
  await app.ready()
  return app
}

/** JSON whatever the Content-Type says, or does not. An empty body is no body, and one for a route that is not is not judged. */
function acceptAnyJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString()
    if (text.trim() === '' || request.is404) return done(null, undefined)
    try {
      done(null, JSON.parse(text))
    } catch (error) {
      const ctx = { error: messageOf(error).slice(0, 200) }
      done(new InvalidBody([{ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}, ctx }]))
    }
  })
}

/** 422 with the list that pydantic would make. */
export class InvalidBody extends Error {
  override readonly name = 'InvalidBody'
  readonly issues: readonly unknown[]

  constructor(issues: readonly unknown[]) {
    super('the body is not what this route takes')
    this.issues = issues
  }
}

function judgeError(error: unknown): { status: number; detail: unknown } {
  if (error instanceof InvalidBody) return { status: 422, detail: error.issues }
  if (error instanceof Refusal) {
    const { status, message, remedy } = error
    return { status, detail: remedy ? `${message}. ${remedy}` : message }
  }
  const told = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const status = told >= 400 && told < 600 ? told : 500
  return { status, detail: status < 500 ? messageOf(error) : 'Internal Server Error' }
}

function refuseSchema(): never {
  throw new Error('a route has a JSON schema, which nothing here compiles')
}
