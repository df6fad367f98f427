// The methods of InferenceService and TokenService as grpc-js calls them: one message or a stream, and how a call ends.
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createAdmission } from './admission.ts'
import { CallError } from './call-error.ts'
import { openScope, type ServerCall } from './call-scope.ts'
import type { EncodedRequest } from './encoded-request.ts'
import { EngineRefused } from './engine-answer.ts'
import { createLookAhead, type LookAhead, type Share } from './look-ahead.ts'
import { createMessageOutlet, createStreamOutlet } from './outlets.ts'
import { limitUnread } from './unread.ts'
import type { Destination, Run, Work } from './work.ts'

/** What the daemon can spare, in bytes and over all calls; each bound is reached by clients in the wrong alone. */
const usualBounds: CallBounds = {
  // Two connections full of calls, and two requests of the longest.
  admission: { calls: 8192, bytes: 512 * 2 ** 20 },
  // A few hundred embeddings each.
  streams: { each: 4 * 2 ** 20, all: 128 * 2 ** 20 },
  // One answer of the longest, or many of usual ones.
  messages: { all: 256 * 2 ** 20 },
}

export type CallBounds = {
  /** Calls in flight and their requests; more are refused. */
  admission: { calls: number; bytes: number }
  /** Computed and not yet read by the clients of streams; prompts wait. */
  streams: { each: number; all: number }
  /** Answers that come as one message, until they are read; prompts wait. */
  messages: { all: number }
  /** That a client gets to read the end of its call, beside what its bytes take at a slow rate, ms. */
  unreadMs?: number
}

const usualUnreadMs = 60_000

export type Calls = { inference: UntypedServiceImplementation; tokens: UntypedServiceImplementation }

type Received<T> = ServerCall & { readonly request: EncodedRequest<T> }

export function createCalls(work: Work, log: Log, bounds: CallBounds = usualBounds): Calls {
  const admission = createAdmission(bounds.admission)
  const streams = createLookAhead({ ...bounds.streams, passes: 'idle' })
  const messages = createLookAhead({ ...bounds.messages, each: Infinity, passes: 'first' })
  const toError = (error: unknown, failed: string) => toCallError(error, failed, log)

  /** Resolves when all is written. @throws what the run throws, or why the call is not taken */
  async function carryOut<T>(call: Received<T>, run: Run<T>, to: Destination): Promise<void> {
    using scope = openScope(call)
    const place = admission.admit(call.request.costWithin(bounds.admission.bytes))
    onceLeft(call, () => place.leave())
    try {
      await run(call.request.take(), to, scope.abort)
    } finally {
      place.forget()
    }
  }

  const limit = (call: ServerCall, share: Share) => limitUnread(call, share.held, bounds.unreadMs ?? usualUnreadMs)

  async function answer<T>(call: ServerUnaryCall<EncodedRequest<T>, Buffer>, run: Run<T>, failed: string) {
    const share = openShare(messages, call)
    const outlet = createMessageOutlet(share)
    try {
      await carryOut(call, run, { outlet, share })
      return outlet.toMessage()
    } catch (error) {
      throw toError(error, failed)
    } finally {
      limit(call, share)
    }
  }

  async function stream<T>(call: ServerWritableStream<EncodedRequest<T>, Buffer>, run: Run<T>, failed: string) {
    const share = openShare(streams, call)
    try {
      await carryOut(call, run, { outlet: createStreamOutlet(call, share), share })
      call.end()
    } catch (error) {
      call.emit('error', toError(error, failed))
    }
    limit(call, share)
  }

  const unary =
    <T>(run: Run<T>, failed: string) =>
    (call: ServerUnaryCall<EncodedRequest<T>, Buffer>, reply: sendUnaryData<Buffer>): void =>
      void answer(call, run, failed).then(
        (message) => reply(null, message),
        (error: CallError) => reply(error),
      )
  const streamed =
    <T>(run: Run<T>, failed: string) =>
    (call: ServerWritableStream<EncodedRequest<T>, Buffer>): void =>
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

function toCallError(error: unknown, failed: string, log: Log): CallError {
  if (error instanceof CallError) return error
  if (!(error instanceof EngineRefused)) log.error({ err: error }, `${failed}: ${messageOf(error)}`)
  return new CallError('INTERNAL', `${failed}: ${messageOf(error)}`)
}

function openShare(lookAhead: LookAhead, call: ServerCall): Share {
  const share = lookAhead.share()
  onceLeft(call, () => share.end())
  return share
}

/** Every call is 'cancelled' once the client has read its end, or has left: until then what it has not read counts. */
function onceLeft(call: ServerCall, then: () => void): void {
  if (call.cancelled) then()
  else call.on('cancelled', then)
}
