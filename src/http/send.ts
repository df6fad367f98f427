// Small whole answers on raw node:http responses, and the two error shapes that our callers know.
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** Does nothing once an answer has begun. */
export function sendJsonBody(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: OutgoingHttpHeaders = {},
): void {
  if (response.headersSent || response.destroyed) return
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

/** FastAPI's shape: `{"detail": …}`. */
export function sendDetail(response: ServerResponse, status: number, detail: string): void {
  sendJsonBody(response, status, { detail })
}

export type OpenAiError = { status: number; message: string; type: string; code?: string; retryAfter?: number }

/** OpenAI's shape: `{"error": {message, type, param, code}}`. `retryAfter` in seconds. */
export function sendOpenAiError(response: ServerResponse, error: OpenAiError): void {
  const { status, message, type, code, retryAfter } = error
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }
  sendJsonBody(response, status, { error: { message, type, param: null, code: code ?? status } }, headers)
}

/** 200 with a text that is ready. */
export function sendText(response: ServerResponse, contentType: string, text: string): void {
  response.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}
