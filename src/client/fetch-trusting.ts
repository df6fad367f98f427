// What the REST calls need of fetch, which cannot be told whom to trust: with an authority of the caller's own.
import { request } from 'node:https'
import { Readable } from 'node:stream'

type Said = { method?: string; headers: Record<string, string>; body?: string; signal?: AbortSignal }

/** Of an address without TLS it is fetch. @param ca PEM; nobody else is trusted */
export function fetchTrusting(ca: string | Buffer): (url: URL, said: Said) => Promise<Response> {
  return async (url, said) => {
    if (url.protocol !== 'https:') return fetch(url, said)
    return new Promise((resolve, reject) => {
      const { method, headers, body, signal } = said
      const call = request(url, { method, headers, ca, ...(signal && { signal }) }, (answer) => {
        const status = answer.statusCode ?? 500
        // A body where there can be none is an error to Response.
        const stream = status === 204 || status === 304 ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>)
        if (!stream) answer.resume()
        resolve(new Response(stream, { status, statusText: answer.statusMessage ?? '' }))
      })
      call.on('error', reject)
      call.end(body)
    })
  }
}
