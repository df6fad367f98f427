// Reads as much of a request's body as it takes to know the model that it names; nothing of it is lost.
import type { IncomingMessage } from 'node:http'
import { cutIdleBody, hasBody } from '../http/idle-body.ts'
import type { RequestBody } from '../proxy/request-body.ts'
import { createModelScan } from './model-scan.ts'

export type Peeked = {
  model: string | undefined
  /** The whole body: what was read and, behind it, what is still to come. */
  body: RequestBody
}

/** Bytes. A body that has named no model by then goes unread to the engine that takes such. */
const most = 1 << 20
/** ms; a client that stops sending in mid-body is cut off. */
const idleMs = 120_000

/** @throws what the connection says when the client leaves in mid-body */
export async function peekModel(request: IncomingMessage): Promise<Peeked> {
  if (!hasBody(request)) return { model: undefined, body: undefined }
  cutIdleBody(request, idleMs)
  const scan = createModelScan()
  const rest = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  const read: Buffer[] = []
  for (let size = 0; size < most;) {
    const next = await rest.next()
    // Whole and small: it goes in one write, and can be sent again.
    if (next.done) return { model: undefined, body: Buffer.concat(read) }
    read.push(next.value)
    size += next.value.length
    const found = scan.feed(next.value)
    if (found) return { model: found.kind === 'model' ? found.model : undefined, body: joined(request, read, rest) }
  }
  return { model: undefined, body: joined(request, read, rest) }
}

function joined(request: IncomingMessage, read: readonly Buffer[], rest: AsyncIterator<Buffer>): RequestBody {
  if (request.complete && request.readableLength === 0) return Buffer.concat(read)
  return {
    async *[Symbol.asyncIterator]() {
      yield* read
      for (;;) {
        const next = await rest.next()
        if (next.done) return
        yield next.value
      }
    },
  }
}
