// Which connections carry a request now. Node counts one that never sent anything as busy, which would hold up every stop.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Traffic {
  connect(socket: Socket): void
  note(response: ServerResponse): void
  /**
   * From now on: idle connections end at once, the others after the answer that runs on them. One that has just been made
   * has its first request on the way, and gets a moment for it: a restart must not reset it.
   */
  hush(): void
}

/** ms; the request follows the handshake, on a busy machine a little later. */
const firstRequestWithin = 200

export function createTraffic(unreadWithin = 30_000): Traffic {
  const sockets = new Set<Socket>()
  const silent = new Set<Socket>()
  const running = new Map<ServerResponse, Socket>()
  const state = { hushed: false }
  const dropSilent = (socket: Socket) =>
    setTimeout(() => {
      if (silent.has(socket)) socket.destroy()
    }, firstRequestWithin).unref()
  /** Its answer is out, whoever asked, and no other timer of the server counts in mid-body. */
  const dropUnread = (request: IncomingMessage) =>
    setTimeout(() => {
      if (!request.complete) request.socket.destroySoon()
    }, unreadWithin).unref()
  return {
    connect(socket) {
      sockets.add(socket)
      silent.add(socket)
      socket.once('close', () => {
        sockets.delete(socket)
        silent.delete(socket)
      })
      if (state.hushed) dropSilent(socket)
    },
    note(response) {
      const { socket } = response.req
      silent.delete(socket)
      running.set(response, socket)
      if (state.hushed) response.shouldKeepAlive = false
      response.once('close', () => {
        running.delete(response)
        if (state.hushed) socket.end()
        else if (!response.req.complete && !socket.destroyed) dropUnread(response.req)
      })
    },
    hush() {
      state.hushed = true
      for (const response of running.keys()) response.shouldKeepAlive = false
      const busy = new Set(running.values())
      for (const socket of sockets) {
        if (silent.has(socket)) dropSilent(socket)
        else if (!busy.has(socket)) socket.destroy()
      }
    },
  }
}
