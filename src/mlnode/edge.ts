// How the MLNode API speaks: FastAPI's error bodies, and bodies that are JSON whatever their Content-Type says, or does not.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { messageOf, Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'

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

/** Bodies arrive raw, so that a route that needs none takes any. Errors of all routes below get their shape here. */
export function speakFastApi(app: FastifyInstance, log: Log): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, log))
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  if (error instanceof Detail) return reply.code(error.status).send({ detail: error.detail })
  if (error instanceof Refusal) return reply.code(error.status).send({ detail: describeRefusal(error) })
  const status = readStatus(error)
  if (status < 500) return reply.code(status).send({ detail: messageOf(error) })
  log.error({ err: error, method: request.method, url: request.url }, 'request failed')
  return reply.code(500).send({ detail: messageOf(error) })
}

/** Clients of the MLNode show `detail` alone, so the remedy has to be in it. */
export function describeRefusal({ message, remedy }: Refusal): string {
  return remedy === '' || message.includes(remedy) ? message : `${message}. ${remedy}`
}

function readStatus(error: unknown): number {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  return status >= 400 && status < 600 ? status : 500
}

/** @throws Detail 422 as FastAPI words it */
export function readBody<T>(request: FastifyRequest, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(readJsonBody(request), { reportInput: true })
  if (parsed.success) return parsed.data
  throw new Detail(422, parsed.error.issues.flatMap(toComplaints))
}

/** @throws Detail 422 where there is no JSON */
export function readJsonBody(request: FastifyRequest): unknown {
  const text = Buffer.isBuffer(request.body) ? request.body.toString('utf8') : ''
  if (text.trim() === '')
    throw new Detail(422, [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }])
  try {
    return JSON.parse(text)
  } catch (error) {
    const ctx = { error: messageOf(error).slice(0, 200) }
    throw new Detail(422, [{ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}, ctx }])
  }
}

type Complaint = { type: string; loc: (string | number)[]; msg: string; input?: unknown }

function toComplaints(issue: z.core.$ZodIssue): Complaint[] {
  const loc = ['body', ...issue.path.map((one) => (typeof one === 'number' ? one : String(one)))]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      type: 'extra_forbidden',
      loc: [...loc, key],
      msg: 'Extra inputs are not permitted',
    }))
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return [{ type: 'missing', loc, msg: 'Field required', input: null }]
  const type = issue.code === 'invalid_type' ? `${issue.expected}_type` : 'value_error'
  const input = ['string', 'number', 'boolean'].includes(typeof issue.input) ? { input: issue.input } : {}
  return [{ type, loc, msg: issue.message, ...input }]
}

/** Aborts when the caller goes away before it has its answer. */
export function whenCallerLeaves(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) left.abort(new DOMException('the caller left', 'AbortError'))
  })
  return left.signal
}
