// What the REST calls need of fetch, which cannot be told whom to trust: with an authority of the caller's own.
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { Readable } from 'node:stream'

type Said = { method?: string; headers: Record<string, string>; body?: string; signal?: AbortSignal }

/** Of an address without TLS it is fetch. @param ca PEM; nobody else is trusted */
export function fetchTrusting(ca: string | Buffer): (url: URL, said: Said) => Promise<Response> {
  return async (url, said) => {
    if (url.protocol !== 'https:') return fetch(url, said)
    const { method, headers, body, signal } = said
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(url, { method, headers, ca, ...(signal && { signal }) }, resolve)
      call.on('error', reject)
      call.end(body)
    })
    return toResponse(answer)
  }
}

/** @throws where the status is none to fetch */
function toResponse(answer: IncomingMessage): Response {
  const { statusCode: status = 0, statusMessage: statusText = '' } = answer
  // A body where there can be none is an error to Response.
  const isEmpty = [204, 205, 304].includes(status)
  if (isEmpty) answer.resume()
  try {
    return new Response(isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>), { status, statusText })
  } catch (error) {
    answer.destroy()
    throw error
  }
}
