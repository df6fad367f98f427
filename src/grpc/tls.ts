// TLS of the gRPC listener, done before the server sees a connection: a renewed certificate is used from the next one on.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'

/** PEM texts, asked for with each connection. */
export type PemSource = { cert(): string; key(): string }

/** ms; of a handshake. */
const handshakeWithin = 10_000

const contexts = new WeakMap<PemSource, { cert: string; key: string; context: SecureContext }>()

/** @throws where the handshake fails or takes too long, or the PEM texts are none */
export async function secure(socket: Socket, source: PemSource): Promise<Socket> {
  const secured = new TLSSocket(socket, {
    isServer: true,
    ALPNProtocols: ['h2'],
    secureContext: contextOf(source),
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

function contextOf(source: PemSource): SecureContext {
  const [cert, key] = [source.cert(), source.key()]
  const known = contexts.get(source)
  if (known?.cert === cert && known.key === key) return known.context
  const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
  contexts.set(source, { cert, key, context })
  return context
}
