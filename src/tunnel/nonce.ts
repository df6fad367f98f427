// Proves that a port on a far server leads back to this very process: both tunnelled listeners answer with our nonce.
import { randomBytes } from 'node:crypto'

/** Open on both tunnelled listeners; says nothing but the nonce. */
export const noncePath = '/.well-known/gonka-node'

export interface Nonce {
  readonly value: string
  /** The JSON body for a GET of that path (query allowed, version prefix already stripped), undefined for any other path. */
  answer(path: string): string | undefined
}

/** One per process: after a restart the new daemon proves its tunnels anew. */
export function createNonce(): Nonce {
  const value = randomBytes(16).toString('hex')
  const body = JSON.stringify({ nonce: value })
  return { value, answer: (path) => (path === noncePath || path.startsWith(`${noncePath}?`) ? body : undefined) }
}
