// Where the results of a call go: a stream whose reader may be slow, or one answer at the end.
import type { Outlet } from './batch.ts'
import { EngineRefused, encodeHead } from './engine-answer.ts'
import type { Share } from './look-ahead.ts'

/** The part of grpc-js's server stream that we use. */
export type CallStream = { write(message: Buffer, flushed: (error?: Error | null) => void): boolean }

/** Of one call: enough to keep a connection busy. */
const mostUnflushed = 256 * 1024

export interface StreamOutlet extends Outlet {
  /** The call is over: what was not flushed is not waited for. */
  close(): void
}

/** Bytes count as held until HTTP/2 has taken them, which it does when the client reads. */
export function createStreamOutlet(stream: CallStream, share: Share): StreamOutlet {
  const state = { unflushed: 0, closed: false }
  const outlet: StreamOutlet = {
    onReady: () => {},
    get isBehind() {
      return state.unflushed >= mostUnflushed
    },
    write(bytes) {
      if (state.closed) return
      state.unflushed += bytes.length
      share.add(bytes.length)
      stream.write(bytes, () => {
        if (state.closed) return
        const wasBehind = outlet.isBehind
        state.unflushed -= bytes.length
        share.free(bytes.length)
        if (wasBehind && !outlet.isBehind) outlet.onReady()
      })
    },
    close() {
      if (state.closed) return
      state.closed = true
      share.free(state.unflushed)
    },
  }
  return outlet
}

/** Of an answer that is one message: protobuf itself ends at 2 GiB, and a client that wants more has the streams. */
const longestMessage = 256 * 2 ** 20

export interface MessageOutlet extends Outlet {
  /** The encoded message: `repeated X = 1`. */
  toMessage(): Buffer
}

export function createMessageOutlet(): MessageOutlet {
  const parts: Buffer[] = []
  const state = { length: 0 }
  return {
    onReady: () => {},
    isBehind: false,
    write(bytes) {
      state.length += bytes.length + 6
      if (state.length > longestMessage) {
        throw new EngineRefused(`the answer is longer than ${longestMessage} bytes, use the stream`, false)
      }
      parts.push(encodeHead(1, bytes.length), bytes)
    },
    toMessage: () => Buffer.concat(parts),
  }
}
