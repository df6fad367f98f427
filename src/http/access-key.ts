// The key of the control listener (contracts/control-plane.md A1.4): Bearer, or Basic with the key as password.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJsonBody } from './send.ts'

/** Pure. An empty key opens the door. The time it takes tells nothing about the key. */
export function judgeAccess(key: string, authorization: string | undefined): boolean {
  const wanted = key.trim()
  if (wanted === '') return true
  const given = parseKey(authorization ?? '')
  return given !== undefined && timingSafeEqual(digest(given), digest(Buffer.from(wanted)))
}

/** 401 as A1.4 has it. */
export function sendUnauthorized(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  sendJsonBody(response, 401, { detail: 'Unauthorized' }, { 'www-authenticate': 'Basic realm="vllm-bootstrap"' })
}

function parseKey(authorization: string): Buffer | undefined {
  const [, scheme = '', rest = ''] = /^\s*(\S+)\s+(.*?)\s*$/s.exec(authorization) ?? []
  // Header values arrive as latin1; the key may be UTF-8.
  if (scheme.toLowerCase() === 'bearer') return Buffer.from(rest, 'latin1')
  if (scheme.toLowerCase() !== 'basic' || !/^[A-Za-z0-9+/]+={0,2}$/.test(rest)) return undefined
  const pair = Buffer.from(rest, 'base64')
  const colon = pair.indexOf(0x3a)
  return colon < 0 ? undefined : pair.subarray(colon + 1)
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
