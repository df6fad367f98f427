// Callbacks of the engines go to the API node through our own node listener, so that batches that do not arrive are noticed
// (P6). Exact: bodies stream through, status and body come back as they are, an API node's 503 included; nothing is stored,
// the engine repeats. While the daemon restarts, its listening socket stays with systemd and the engine's connection waits.
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Agent } from 'undici'
import { within } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { createAgent, request } from '../core/http-client.ts'
import type { Log } from '../core/log.ts'
import { openTargets } from './callback-targets.ts'
import { type Deliveries, noDeliveries } from './progress.ts'

export type Callback = {
  token: string
  suffix: string
  headers: Record<string, string | string[] | undefined>
  body: Readable
}
export type RelayAnswer = { status: number; contentType: string; body: Buffer }

export interface CallbackRelay {
  readonly on: boolean
  /** What an engine is told instead of `url`; the slot, where given, tells later whose batch it is. Await `ready` first. */
  urlFor(url: string | null | undefined, slot?: number): string | undefined
  /** Undefined: unknown token or suffix. Never rejects: an unreachable API node is a 502. */
  forward(callback: Callback): Promise<RelayAnswer | undefined>
  deliveries(slot: number): Deliveries
  /** A new round begins: counts start at nothing. */
  reset(): void
  readonly ready: Promise<void>
  close(): Promise<void>
}

/** The engine gives up after 10 s. */
const bound = 9500
const longestAnswer = 64 << 10
const path = '/api/v1/inference/pow/callback-relay/'
const tokenForm = /^([0-9a-f]{32})(?:-(\d{1,4}))?$/

export type RelayOptions = {
  origin: string | undefined
  /** PEM files shown to, and trusted of, https callbacks (contracts/node-api.md 1.11). Read at use, so that renewed ones count. */
  tls: RelayTls
  stateDir: string
  log: Log
  clock: Clock
}

/** Whether an engine of ours sends a batch there. One that is held for long comes twice: the engine gives up, and repeats it. */
export const isCallback = (url: string): boolean => url.startsWith(path)

export function createRelay(options: RelayOptions): CallbackRelay {
  const { origin, tls, log, clock } = options
  const targets = openTargets(options)
  let agent: Agent | undefined
  const seen = new Map<number, Deliveries>()
  function note(slot: number | undefined, failure?: Omit<NonNullable<Deliveries['failure']>, 'at'>): void {
    if (slot === undefined) return
    const old = seen.get(slot) ?? noDeliveries
    const { delivered, refused, unreachable } = old
    const now = clock.now()
    if (!failure) seen.set(slot, { delivered: delivered + 1, deliveredAt: now, refused, unreachable })
    else seen.set(slot, { ...old, [failure.kind]: old[failure.kind] + 1, failure: { ...failure, at: now } })
  }

  return {
    on: origin !== undefined,
    ready: targets.ready,
    urlFor(url, slot) {
      if (!url) return undefined
      if (origin === undefined) return url
      const owner = slot === undefined ? '' : `-${slot}`
      return `${origin}${path}${targets.tokenOf(url)}${owner}`
    },
    async forward({ token, suffix, headers, body }) {
      await targets.ready
      const form = tokenForm.exec(token)
      const target = targets.urlOf(form?.[1])
      if (!form || !target || (suffix !== 'generated' && suffix !== 'validated')) return undefined
      // A queued job's result is no batch of the round.
      const slot = form[2] === undefined || suffix !== 'generated' ? undefined : Number(form[2])
      try {
        agent ??= await openAgent(tls)
        const answer = await send(agent, `${target}/${suffix}`, { headers, body })
        const text = answer.body.toString('utf8').trim().slice(0, 300)
        note(slot, answer.status < 400 ? undefined : { kind: 'refused', text: `HTTP ${answer.status} ${text}`.trim() })
        return answer
      } catch (error) {
        const text = messageOf(error)
        note(slot, { kind: 'unreachable', text })
        // A certificate that was renewed on disk is taken with the engine's next try.
        if (tls.cert || tls.ca) {
          void agent?.destroy()
          agent = undefined
        }
        log.warn({ url: target, error: text }, 'callback not relayed')
        const detail = JSON.stringify({ detail: `Callback relay failed: ${text}` })
        return { status: 502, contentType: 'application/json', body: Buffer.from(detail) }
      }
    },
    deliveries: (slot) => seen.get(slot) ?? noDeliveries,
    reset: () => seen.clear(),
    async close() {
      await targets.flushed()
      await agent?.destroy()
    },
  }
}

export type RelayTls = { cert?: string | undefined; key?: string | undefined; ca?: string | undefined }

/** @throws what the file system says of a PEM file */
async function openAgent({ cert, key, ca }: RelayTls): Promise<Agent> {
  const read = async (name: 'cert' | 'key' | 'ca', path: string | undefined) =>
    path ? { [name]: await readFile(path) } : {}
  const pems = await Promise.all([read('cert', cert), read('key', key), read('ca', ca)])
  return createAgent({
    keepAliveTimeout: 3000,
    connections: 32,
    connect: Object.assign({ timeout: 5000 }, ...pems) as { timeout: number },
  })
}

async function send(
  agent: Agent,
  url: string,
  { headers, body }: Pick<Callback, 'headers' | 'body'>,
): Promise<RelayAnswer> {
  const answer = await request(url, {
    method: 'POST',
    dispatcher: agent,
    signal: within(bound),
    headers: pickHeaders(headers),
    body,
  })
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.length
    // An API node answers with nothing or one line; the status is what counts.
    if (length <= longestAnswer) chunks.push(chunk)
  }
  const contentType = answer.headers['content-type']
  return {
    status: answer.statusCode,
    contentType: typeof contentType === 'string' ? contentType : 'application/json',
    body: Buffer.concat(chunks),
  }
}

/** Signatures (`X-Signature`) and the form of the body; nothing that speaks of the connection to us. */
function pickHeaders(headers: Callback['headers']): Record<string, string> {
  const kept = Object.entries(headers).flatMap(([name, value]) => {
    const ours = /^(content-type|content-length|content-encoding|authorization|user-agent|x-(?!forwarded).*)$/i.test(
      name,
    )
    return ours && typeof value === 'string' ? [[name, value]] : []
  })
  return { 'content-type': 'application/json', ...(Object.fromEntries(kept) as Record<string, string>) }
}
