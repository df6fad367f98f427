// One REST call: key, deadline, size, and every failure as a ClientError. Promises an end to every call.
import type { z } from 'zod'
import { fetchTrusting } from './fetch-trusting.ts'
import { RequestError, UnreachableError, type ValidationIssue, WaitTimeoutError } from './errors.ts'

export type RestOptions = {
  baseUrl: string
  accessKey: string | undefined
  timeout: number
  ca?: string | Buffer | undefined
}

export type Ask = {
  body?: unknown
  query?: Readonly<Record<string, string | number | boolean | undefined>>
  headers?: Readonly<Record<string, string>>
  /** ms; that of the client where not said. */
  timeout?: number | undefined
  signal?: AbortSignal | undefined
}

export interface Rest {
  /** The JSON of a 2xx. @throws RequestError, UnreachableError, WaitTimeoutError, the reason of `signal` */
  ask<T>(route: `${'GET' | 'POST' | 'DELETE'} /${string}`, shape: z.ZodType<T>, ask?: Ask): Promise<T>
  /** A stream without an end of its own, undefined for a 204; `timeout` bounds only its beginning. @throws as ask() */
  open(path: `/${string}`, ask?: Ask): Promise<ReadableStream<Uint8Array> | undefined>
}

/** Above any answer of the service: a log piece of 1 MiB, each of its bytes escaped. */
const answerLimit = 16 * 1024 * 1024

export function createRest({ baseUrl, accessKey, timeout, ca }: RestOptions): Rest {
  const call = ca === undefined ? fetch : fetchTrusting(ca)
  const root = baseUrl.replace(/\/+$/, '')
  const send = async (route: string, { body, query = {}, headers, signal }: Ask): Promise<Response> => {
    const [method = 'GET', path] = route.split(' ')
    const found = new URL(`${root}${path}`)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) found.searchParams.set(name, String(value))
    const answer = await call(found, {
      method,
      headers: {
        ...(accessKey && { authorization: `Bearer ${accessKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
    if (!answer.ok) throw new RequestError(`${route} at ${root}`, answer.status, await readDetail(answer))
    return answer
  }
  return {
    ask: (route, shape, ask = {}) =>
      bounded(`${route} at ${root}`, ask.timeout ?? timeout, ask.signal, async (signal) => {
        const found = shape.safeParse(JSON.parse(await readText(await send(route, { ...ask, signal }))))
        if (found.success) return found.data
        throw new Error('the answer is not that of a launch service', { cause: found.error })
      }),
    async open(path, ask = {}) {
      // The deadline must not cut the stream, so the stream has a signal of its own.
      const gone = new AbortController()
      const begun = bounded(`GET ${path} at ${root}`, ask.timeout ?? timeout, ask.signal, (late) => {
        late.addEventListener('abort', () => gone.abort(late.reason))
        const signal = ask.signal ? AbortSignal.any([ask.signal, gone.signal]) : gone.signal
        return send(`GET ${path}`, { ...ask, signal })
      })
      return (await begun).body ?? undefined
    },
  }
}

async function bounded<T>(
  what: string,
  timeout: number,
  asked: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(new WaitTimeoutError(what, timeout)), timeout)
  try {
    return await work(asked ? AbortSignal.any([asked, late.signal]) : late.signal)
  } catch (error) {
    if (error instanceof RequestError) throw error
    asked?.throwIfAborted()
    throw late.signal.aborted ? late.signal.reason : new UnreachableError(what, error)
  } finally {
    clearTimeout(timer)
  }
}

async function readText(answer: Response): Promise<string> {
  if (!answer.body) return ''
  const decoder = new TextDecoder()
  const parts: string[] = []
  let size = 0
  for await (const piece of answer.body) {
    size += piece.byteLength
    if (size > answerLimit) throw new Error(`the answer has more than ${answerLimit} bytes`)
    parts.push(decoder.decode(piece, { stream: true }))
  }
  return parts.join('') + decoder.decode()
}

/** A proxy in between may answer with anything. */
async function readDetail(answer: Response): Promise<string | ValidationIssue[]> {
  const text = await readText(answer)
  try {
    const { detail, error } = JSON.parse(text) as { detail?: unknown; error?: { message?: unknown } }
    if (typeof detail === 'string' || Array.isArray(detail)) return detail as string | ValidationIssue[]
    if (typeof error?.message === 'string') return error.message
  } catch {
    // No JSON: its text says what there is to say.
  }
  return text.slice(0, 500) || answer.statusText
}
