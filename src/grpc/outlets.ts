// Where the results of a call go: a stream whose reader may be slow, or one answer at the end. What lies here is counted in the call's
// share until the client has read it.
import type { Outlet } from './batch.ts'
import { EngineRefused, encodeHead } from './engine-answer.ts'
import { costOf, type Share } from './look-ahead.ts'

/** The part of grpc-js's server stream that we use. */
export type CallStream = { write(message: Buffer, flushed: (error?: Error | null) => void): boolean }

/** Of one call: enough to keep a connection busy. */
const mostUnflushed = 256 * 1024

/** Bytes count as held until HTTP/2 has taken them, which it does when the client reads. */
export function createStreamOutlet(stream: CallStream, share: Share): Outlet {
  const state = { unflushed: 0 }
  const outlet: Outlet = {
    onReady: () => {},
    get isBehind() {
      return state.unflushed >= mostUnflushed
    },
    write(bytes) {
      const cost = costOf(bytes)
      state.unflushed += cost
      share.add(cost)
      stream.write(bytes, () => {
        const wasBehind = outlet.isBehind
        state.unflushed -= cost
        share.free(cost)
        if (wasBehind && !outlet.isBehind) outlet.onReady()
      })
    },
  }
  return outlet
}

/** Of an answer that is one message: protobuf itself ends at 2 GiB, and a client that wants more has the streams. */
const longestMessage = 256 * 2 ** 20

export interface MessageOutlet extends Outlet {
  /** The encoded message: `repeated X = 1`. Once. */
  toMessage(): Buffer
}

export function createMessageOutlet(share: Share): MessageOutlet {
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
      share.add(costOf(bytes))
      parts.push(encodeHead(1, bytes.length), bytes)
    },
    toMessage: () => Buffer.concat(parts.splice(0)),
  }
}
