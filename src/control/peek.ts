// The look into bodies for their model, of all requests together: bounded in memory and time.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { onAbort } from '../core/abort.ts'
import { type Peeked, peekModel } from './peek-model.ts'
import { createRoom } from './room.ts'

export interface Peek {
  /** s until a body must have named its model: slow ones would keep the room of others for ever. */
  readonly within: number
  /**
   * @param late the time is over: it is to end the connection
   * @returns undefined: there was no room for the body. @throws what the connection says when it ends in mid-body
   */
  look(request: IncomingMessage, response: ServerResponse, late: () => void): Promise<Peeked | undefined>
}

/** For bodies that name their model late, over all connections: at most 64 at a time. Others wait 5 s for their turn. */
const bounds = { most: 64 << 20, patience: 5000 }
const within = 60

export function createPeek(): Peek {
  const room = createRoom(bounds)
  return {
    within,
    async look(request, response, late) {
      const over = new AbortController()
      response.once('close', () => over.abort())
      const timer = setTimeout(late, within * 1000)
      try {
        const takeRoom = async (bytes: number) => {
          const taken = await room.take(bytes, over.signal)
          if (taken) onAbort(over.signal, () => taken[Symbol.dispose]())
          return taken
        }
        return await peekModel({ request, response, takeRoom })
      } finally {
        clearTimeout(timer)
      }
    },
  }
}
