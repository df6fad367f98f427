// Batches of our engines on their way to the API node (poc/relay.ts): bodies stream through, unread.
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { MlnodeDeps } from './deps.ts'

export function addCallbackRelay(app: FastifyInstance, { poc }: MlnodeDeps): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.post<{ Params: { token: string; '*': string } }>(
    '/api/v1/inference/pow/callback-relay/:token/*',
    { config: { streamsBody: true } },
    async (request, reply) => {
      const { token, '*': suffix } = request.params
      const body = request.body instanceof Readable ? request.body : Readable.from([])
      const answer = await poc.relay.forward({ token, suffix, headers: request.headers, body })
      if (answer) return reply.code(answer.status).header('content-type', answer.contentType).send(answer.body)
      body.resume()
      return reply.code(404).send({ detail: 'Unknown relay token' })
    },
  )
}
