// Small HTTP answers in the shapes of FastAPI and OpenAI, and a bounded body reader.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Generation } from './engine-knobs.ts'

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

export function sendDetail(response: ServerResponse, status: number, detail: unknown): void {
  sendJson(response, status, { detail })
}

/** OpenAI's error shape; 0.9.1 has it flat. */
export function sendOpenAiError(
  response: ServerResponse,
  status: number,
  error: { message: string; type: string; generation: Generation },
): void {
  const { message, type } = error
  const body = { message, type, param: null, code: status }
  sendJson(response, status, error.generation === 'v0-overlay' ? { object: 'error', ...body } : { error: body })
}

/** Of a longer body nothing is kept: a test's gigabytes must not need a machine of their size. */
const mostKept = 64 * 2 ** 20

/** undefined: not JSON, or too long; it is read to its end all the same. @throws when the client leaves */
export async function readJsonBody(request: IncomingMessage): Promise<Record<string, unknown> | undefined> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request) {
    length += (part as Buffer).length
    if (length <= mostKept) parts.push(part as Buffer)
    else parts.length = 0
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
