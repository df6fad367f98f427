// Waiting for a socket that has taken more than it could send.
import type { Socket } from 'node:net'

/** Resolves when it can take more, also when it closes instead. */
export function onceDrained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.removeListener('drain', done)
      socket.removeListener('close', done)
      resolve()
    }
    socket.once('drain', done)
    socket.once('close', done)
    if (socket.destroyed) done()
  })
}
