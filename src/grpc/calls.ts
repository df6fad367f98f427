// The methods of InferenceService and TokenService as grpc-js calls them: one message or a stream, and how a call ends.
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { CallError } from './call-error.ts'
import { openScope } from './call-scope.ts'
import { EngineRefused } from './engine-answer.ts'
import { createLookAhead, unbounded } from './look-ahead.ts'
import { createMessageOutlet, createStreamOutlet } from './outlets.ts'
import type { Run, Work } from './work.ts'

/** Bytes computed ahead of readers: a few hundred embeddings each, and no more than the daemon can spare over all. */
const lookAheadBounds = { each: 4 * 2 ** 20, all: 128 * 2 ** 20 }

export type Calls = { inference: UntypedServiceImplementation; tokens: UntypedServiceImplementation }

export function createCalls(work: Work, log: Log): Calls {
  const lookAhead = createLookAhead(lookAheadBounds)
  const toError = (error: unknown, failed: string): CallError => {
    if (error instanceof CallError) return error
    if (!(error instanceof EngineRefused)) log.error({ err: error }, `${failed}: ${messageOf(error)}`)
    return new CallError('INTERNAL', `${failed}: ${messageOf(error)}`)
  }

  async function answer<T>(call: ServerUnaryCall<T, Buffer>, run: Run<T>, failed: string): Promise<Buffer> {
    using scope = openScope(call)
    const outlet = createMessageOutlet()
    try {
      await run(call.request, { outlet, share: unbounded }, scope.abort)
      return outlet.toMessage()
    } catch (error) {
      throw toError(error, failed)
    }
  }

  async function stream<T>(call: ServerWritableStream<T, Buffer>, run: Run<T>, failed: string): Promise<void> {
    using scope = openScope(call)
    const share = lookAhead.share()
    const outlet = createStreamOutlet(call, share)
    // Also after a good end: what the client has not read by then counts until it has.
    call.on('cancelled', () => outlet.close())
    try {
      await run(call.request, { outlet, share }, scope.abort)
      call.end()
    } catch (error) {
      outlet.close()
      call.emit('error', toError(error, failed))
    }
  }

  const unary =
    <T>(run: Run<T>, failed: string) =>
    (call: ServerUnaryCall<T, Buffer>, reply: sendUnaryData<Buffer>): void =>
      void answer(call, run, failed).then(
        (message) => reply(null, message),
        (error: CallError) => reply(error),
      )
  const streamed =
    <T>(run: Run<T>, failed: string) =>
    (call: ServerWritableStream<T, Buffer>): void =>
      void stream(call, run, failed)

  return {
    inference: {
      Complete: unary(work.complete, 'Generation failed'),
      CompleteStream: streamed(work.complete, 'Generation stream failed'),
      Embed: unary(work.embed, 'Embedding failed'),
      EmbedStream: streamed(work.embed, 'Embedding stream failed'),
    },
    tokens: { TokenStream: streamed(work.tokens, 'Generation stream failed') },
  }
}
