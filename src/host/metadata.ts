// EC2 instance metadata, version 2 only (P23): a token first, or nothing. Bounded, cached token, never hangs a boot.
import { request } from '../core/node-http.ts'
import { bounded, onAbort } from '../core/abort.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'

/** none: the service answers, but has no such item (404). absent: there is no such service here, or it does not answer. */
export type MetadataAnswer = { kind: 'value'; text: string } | { kind: 'none' } | { kind: 'absent'; why: string }

export interface Metadata {
  readonly enabled: boolean
  /** @param path below /latest/, `meta-data/instance-id`. Never rejects. */
  get(path: string, abort?: AbortSignal): Promise<MetadataAnswer>
}

const tokenSeconds = 21_600
const maxBytes = 64_000

/** @param options.timeout ms for one answer, token included: an instance answers within 10 ms, elsewhere nobody does */
export function createMetadata(options: { url: string; timeout?: number; clock?: Clock }): Metadata {
  const { url, timeout = 1000, clock = systemClock } = options
  if (/^(off|none|false|)$/i.test(url)) {
    return { enabled: false, get: () => Promise.resolve({ kind: 'absent', why: 'switched off' }) }
  }
  const base = url.replace(/\/+$/, '')
  const cached: { token?: string; until: number } = { until: 0 }

  async function readToken(abort: AbortSignal): Promise<string> {
    if (cached.token !== undefined && clock.now() < cached.until) return cached.token
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) }
    const answer = await ask({ url: `${base}/latest/api/token`, method: 'PUT', headers, abort })
    if (answer.status !== 200 || answer.text === '')
      throw new Error(`no token of version 2: PUT /latest/api/token answered ${answer.status}`)
    cached.token = answer.text
    cached.until = clock.now() + (tokenSeconds - 60) * 1000
    return answer.text
  }

  async function read(path: string, abort: AbortSignal): Promise<Answer> {
    const headers = { 'x-aws-ec2-metadata-token': await readToken(abort) }
    return ask({ url: `${base}/latest/${path}`, method: 'GET', headers, abort })
  }

  return {
    enabled: true,
    async get(path, abort) {
      using bound = bounded(timeout, abort)
      try {
        let answer = await read(path, bound.signal)
        if (answer.status === 401) {
          delete cached.token
          answer = await read(path, bound.signal)
        }
        if (answer.status === 200) return { kind: 'value', text: answer.text }
        if (answer.status === 404) return { kind: 'none' }
        return { kind: 'absent', why: `GET /latest/${path} answered ${answer.status}` }
      } catch (error) {
        const why = bound.signal.aborted ? `no answer within ${timeout} ms` : messageOf(error)
        return { kind: 'absent', why: `${base}: ${why}` }
      }
    },
  }
}

type Answer = { status: number; text: string }
type Question = { url: string; method: 'GET' | 'PUT'; headers: Record<string, string>; abort: AbortSignal }

/** node:http follows no proxy variables, which link-local addresses must never do, and costs nothing to load. */
function ask({ url, method, headers, abort }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = method === 'PUT' ? { 'content-length': '0' } : {}
    const sent = request(url, { method, headers: { ...headers, ...length }, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => {
        text += part
        if (text.length > maxBytes) answer.destroy(new Error(`more than ${maxBytes} bytes`))
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: text.trim() }))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    const forget = onAbort(abort, () => sent.destroy(new Error('given up')))
    sent.once('close', forget)
    sent.end()
  })
}
