// How the MLNode API answers what is no success, beyond what http/json-app.ts does for every JSON route.
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Refusal } from '../core/errors.ts'

/** An answer other than 200: `{"detail": …}`, where detail is a text, an object or a list. */
export class Detail extends Error {
  override readonly name = 'Detail'
  readonly status: number
  readonly detail: unknown

  constructor(status: number, detail: unknown) {
    super(typeof detail === 'string' ? detail : `HTTP ${status}`)
    this.status = status
    this.detail = detail
  }
}

export function answerDetails(app: FastifyInstance): void {
  app.setErrorHandler((error, _request, reply) => {
    // Everything else is the business of the handler above.
    if (!(error instanceof Detail)) throw error
    return reply.code(error.status).send({ detail: error.detail })
  })
}

/** For routes that need no body and take any: empty, garbled, of any type and length. */
export function takeAnyBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null, undefined)
  })
}

/** Clients of the MLNode show `detail` alone, so the remedy has to be in it. */
export function describeRefusal({ message, remedy }: Refusal): string {
  return remedy === '' || message.includes(remedy) ? message : `${message}. ${remedy}`
}

/** Aborts when the caller goes away before it has its answer. */
export function whenCallerLeaves(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) left.abort(new DOMException('the caller left', 'AbortError'))
  })
  return left.signal
}
