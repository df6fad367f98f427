// The key of the control surfaces (contracts/control-plane.md A1.4): Bearer, or Basic with the key as password.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJsonBody } from './send.ts'

/** Keys as they are compared: digests, so that neither time nor length tells anything. */
export type KeyDigests = readonly Buffer[]

export function toKeyDigests(keys: readonly string[]): KeyDigests {
  return keys.flatMap((key) => {
    const isAscii = /^[\x20-\x7e]*$/.test(key)
    // Clients write `ü` as two bytes or as one.
    const asLatin1 = !isAscii && /^[\x20-\xff]*$/.test(key)
    return asLatin1 ? [digest(Buffer.from(key)), digest(Buffer.from(key, 'latin1'))] : [digest(Buffer.from(key))]
  })
}

/** Pure. Looks at every key, whichever it is. */
export function holdsKey(keys: KeyDigests, authorization: string | undefined): boolean {
  const given = parseKey(authorization ?? '')
  if (given === undefined) return false
  const mine = digest(given)
  return keys.reduce((found, key) => timingSafeEqual(key, mine) || found, false)
}

/** Whether the key is too long to be guessed, if it is a random one: 20 characters. Pure. */
export function hasLongKey(authorization: string): boolean {
  return (parseKey(authorization)?.length ?? 0) >= 20
}

/** 401 as A1.4 has it. */
export function sendUnauthorized(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  sendJsonBody(response, 401, { detail: 'Unauthorized' }, { 'www-authenticate': 'Basic realm="vllm-bootstrap"' })
}

/** 429: this address has guessed too often. `seconds` until it may try again. */
export function sendLimited(request: IncomingMessage, response: ServerResponse, seconds: number): void {
  request.resume()
  const detail = `Too many attempts with a wrong access key, try again in ${seconds} s`
  sendJsonBody(response, 429, { detail }, { 'retry-after': String(seconds) })
}

function parseKey(authorization: string): Buffer | undefined {
  const [, scheme = '', rest = ''] = /^\s*(\S+)\s+(.*?)\s*$/s.exec(authorization) ?? []
  // Header values arrive as latin1; the key may be UTF-8.
  if (scheme.toLowerCase() === 'bearer') return Buffer.from(rest, 'latin1')
  if (
    scheme.toLowerCase() !== 'basic' ||
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(rest)
  )
    return undefined
  const pair = Buffer.from(rest, 'base64').toString('latin1')
  const colon = pair.indexOf(':')
  return colon < 0 ? undefined : Buffer.from(pair.slice(colon + 1).replaceAll(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''), 'latin1')
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
