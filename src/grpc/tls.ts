// TLS of the gRPC listener, done before the server sees a connection: a renewed certificate is used from the next one on.
import type { Socket } from 'node:net'
import { createServer } from 'node:tls'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { TlsMaterial } from '../http/tls-files.ts'

export interface TlsDoor {
  /** @throws where there is no certificate yet */
  accept(socket: Socket, material: TlsMaterial | undefined): void
}

/** ms */
const handshakeTimeout = 10_000

/** A server that listens nowhere: it is given connections, and gives them on when the handshake is done. */
export function createTlsDoor(next: (socket: Socket) => void, log: Log): TlsDoor {
  const server = createServer({ ALPNProtocols: ['h2'], handshakeTimeout, minVersion: 'TLSv1.2' }, next)
  const state: { material?: TlsMaterial } = {}
  server.on('tlsClientError', (error, socket) => {
    log.debug(`TLS handshake failed: ${messageOf(error)}`)
    socket.destroy()
  })
  return {
    accept(socket, material) {
      if (!material) throw new Error('there is no certificate yet')
      if (state.material !== material) server.setSecureContext({ ...material, minVersion: 'TLSv1.2' })
      state.material = material
      server.emit('connection', socket)
    },
  }
}
