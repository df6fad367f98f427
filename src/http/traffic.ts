// Which connections carry a request now. Node counts one that never sent anything as busy, which would hold up every stop.
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Traffic {
  connect(socket: Socket): void
  note(response: ServerResponse): void
  /** From now on: idle connections end at once, the others after the answer that runs on them. */
  hush(): void
}

export function createTraffic(): Traffic {
  const sockets = new Set<Socket>()
  const running = new Map<ServerResponse, Socket>()
  const state = { hushed: false }
  return {
    connect(socket) {
      if (state.hushed) return void socket.destroy()
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    },
    note(response) {
      const { socket } = response.req
      running.set(response, socket)
      if (state.hushed) response.shouldKeepAlive = false
      response.once('close', () => {
        running.delete(response)
        if (state.hushed) socket.end()
      })
    },
    hush() {
      state.hushed = true
      for (const response of running.keys()) response.shouldKeepAlive = false
      const busy = new Set(running.values())
      for (const socket of sockets) if (!busy.has(socket)) socket.destroy()
    },
  }
}
