// TLS of the gRPC listener, done before the server sees a connection: a renewed certificate is used from the next one on.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../http/tls-files.ts'

/** ms; of a handshake. */
const handshakeWithin = 10_000

const contexts = new WeakMap<TlsMaterial, SecureContext>()

/** @param material the certificate of now. @throws where there is none, or the handshake fails or takes too long */
export async function secure(socket: Socket, material: TlsMaterial | undefined): Promise<Socket> {
  if (!material) throw new Error('there is no certificate yet')
  const secured = new TLSSocket(socket, {
    isServer: true,
    ALPNProtocols: ['h2'],
    secureContext: contextOf(material),
  })
  const late = setTimeout(() => secured.destroy(new Error('no TLS handshake')), handshakeWithin)
  try {
    await Promise.race([once(secured, 'secure'), once(secured, 'close').then(tellClosed)])
  } finally {
    clearTimeout(late)
  }
  return secured
}

function tellClosed(): never {
  throw new Error('the client left during the TLS handshake')
}

function contextOf(material: TlsMaterial): SecureContext {
  const context = contexts.get(material) ?? createSecureContext({ ...material, minVersion: 'TLSv1.2' })
  contexts.set(material, context)
  return context
}
