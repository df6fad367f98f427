// The body of a REST call as FastAPI takes it (contracts/control-plane.md A1.1): JSON where the content type says so, otherwise a
// text, which no model is. Bounded in size, time and depth.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal } from '../core/errors.ts'
import { cutIdleBody, hasBody, limitBody } from '../http/idle-body.ts'
import { InvalidBody } from '../http/json-app.ts'
import { findJsonError } from './json-error.ts'

/** Bytes; a launch is a few hundred. */
const longest = 1 << 20
/** As deep as arguments of an engine ever are, and far from where writing it would overflow the stack. */
const deepest = 64
/** ms without a byte in mid-body. */
const idleMs = 20_000
/** ms for all of it: one that comes byte by byte would hold its connection for ever. */
const wholeMs = 30_000

/** undefined: there was none. A body that is late is answered here (408). @throws InvalidBody (422), Refusal 400 or 413 */
export async function readJsonBody(
  request: IncomingMessage,
  response: ServerResponse,
  within = wholeMs,
): Promise<unknown> {
  if (!hasBody(request)) return undefined
  // What it declares also says how long it may take.
  if (Number(request.headers['content-length'] ?? 0) > longest) throw tooLong()
  cutIdleBody(request, idleMs)
  limitBody(request, response, within)
  const bytes = await readAll(request)
  if (bytes.length === 0) return undefined
  const isJson = /^\s*application\/(?:[^\s/;]*\+)?json\s*(?:;|$)/i.test(request.headers['content-type'] ?? '')
  return isJson ? parse(toText(bytes)) : bytes.toString('utf8')
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > longest) throw tooLong()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Without a byte order mark. */
function toText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw unreadable()
  }
}

function parse(text: string): unknown {
  const value = parseOrTell(text)
  if (isDeeper(value, deepest)) throw unreadable()
  return value
}

function parseOrTell(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const { msg, pos } = findJsonError(text)
    const issue = { type: 'json_invalid', loc: ['body', pos], msg: 'JSON decode error', input: {}, ctx: { error: msg } }
    throw new InvalidBody([issue])
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((one) => isDeeper(one, levels - 1))
}

const tooLong = () => new Refusal('body-too-large', 413, `the body has more than ${longest} bytes`)
const unreadable = () => new Refusal('body-unreadable', 400, 'There was an error parsing the body')
