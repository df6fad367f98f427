// The model hub over HTTP: what a repository holds, and the bytes of a file. The token goes to the hub's own origin and to
// nobody else: files come from a CDN after a redirect, which must not see it.
import type { Dispatcher } from 'undici'
import { codeOf, messageOf } from '../core/errors.ts'
import { createAgent } from '../core/http-client.ts'
import { ModelTrouble } from './problems.ts'

export type HubFile = {
  path: string
  size: number
  /** sha256 of the content (LFS), or git's sha1 of `blob SIZE\0content`. Also the name of its blob in the cache. */
  hash: string
  algorithm: 'sha256' | 'git-sha1'
}

export type HubRepo = { repo: string; commit: string; files: readonly HubFile[] }

export interface Hub {
  /** @throws ModelTrouble */
  list(repo: string, revision: string, abort: AbortSignal): Promise<HubRepo>
  /** Opens the file at `from`. `start` is where the bytes begin: a server that ignores Range begins at 0. @throws ModelTrouble */
  open(file: { repo: string; commit: string; path: string; from: number }, abort: AbortSignal): Promise<HubBytes>
  close(): Promise<void>
}

export type HubBytes = { start: number; body: AsyncIterable<Buffer> }

export type HubSettings = {
  endpoint: string
  token?: string | undefined
  /** No byte for so long ends the attempt, ms. */
  stallTimeout?: number
}

type Answer = Dispatcher.ResponseData
const maxRedirects = 5
/** The listing of a large repository has some 100 KB. */
const maxListing = 20_000_000

export function createHub({ endpoint, token, stallTimeout = 60_000 }: HubSettings): Hub {
  const base = endpoint.replace(/\/+$/, '')
  const home = new URL(base).origin
  const options = { headersTimeout: stallTimeout, bodyTimeout: stallTimeout, connect: { timeout: 10_000 } }
  const shared: { agent?: Dispatcher } = {}

  async function ask(url: string, headers: Record<string, string>, abort: AbortSignal): Promise<Answer> {
    const agent = (shared.agent ??= createAgent(options))
    let at = new URL(url)
    for (let hops = 0; hops <= maxRedirects; hops += 1) {
      const secret = token && at.origin === home ? { authorization: `Bearer ${token}` } : {}
      const answer = await agent.request({
        origin: at.origin,
        path: at.pathname + at.search,
        method: 'GET',
        headers: { 'user-agent': 'gonka-node', ...headers, ...secret },
        signal: abort,
      })
      const location = pickLocation(answer)
      if (location === undefined) return answer
      await answer.body.dump()
      const next = new URL(location, at)
      if (at.protocol === 'https:' && next.protocol !== 'https:')
        throw new ModelTrouble('model-download-failed', `${at.host} redirects to ${next.protocol}//${next.host}`)
      at = next
    }
    throw new ModelTrouble('model-download-failed', `more than ${maxRedirects} redirects from ${url}`)
  }

  return {
    async list(repo, revision, abort) {
      const url = `${base}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`
      const answer = await guard(base, abort, () => ask(url, { accept: 'application/json' }, abort))
      if (answer.statusCode !== 200) throw await toTrouble(answer, `${repo} at ${revision}`)
      const text = await guard(base, abort, () => readText(answer.body, maxListing))
      return parseListing(repo, text)
    },
    async open({ repo, commit, path, from }, abort) {
      const url = `${base}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
      const range = from > 0 ? { range: `bytes=${from}-` } : {}
      const answer = await guard(base, abort, () => ask(url, { 'accept-encoding': 'identity', ...range }, abort))
      if (answer.statusCode === 206) return { start: parseStart(answer) ?? from, body: answer.body }
      if (answer.statusCode === 200) return { start: 0, body: answer.body }
      throw await toTrouble(answer, `${repo}/${path}`)
    },
    async close() {
      await shared.agent?.destroy()
    },
  }
}

/** Transport errors become hub-unreachable; aborts and our own troubles pass. */
async function guard<T>(base: string, abort: AbortSignal, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (abort.aborted || error instanceof ModelTrouble) throw error
    const code = codeOf(error)
    throw new ModelTrouble('hub-unreachable', `${base}: ${code ? `${code}: ` : ''}${messageOf(error)}`, {
      cause: error,
    })
  }
}

function pickLocation(answer: Answer): string | undefined {
  if (![301, 302, 303, 307, 308].includes(answer.statusCode)) return undefined
  return headerOf(answer, 'location')
}

function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name]
  return Array.isArray(value) ? value[0] : value
}

function parseStart(answer: Answer): number | undefined {
  const found = /^bytes (\d+)-/.exec(headerOf(answer, 'content-range') ?? '')
  return found ? Number(found[1]) : undefined
}

/** The hub says 401 also for what does not exist, as long as it does not know us. */
async function toTrouble(answer: Answer, what: string): Promise<ModelTrouble> {
  const said = headerOf(answer, 'x-error-message') ?? (await readText(answer.body, 2000).catch(() => ''))
  const evidence = `${what}: HTTP ${answer.statusCode} ${said.replaceAll(/\s+/g, ' ').slice(0, 200)}`.trim()
  if (answer.statusCode === 401 || answer.statusCode === 403) return new ModelTrouble('hub-unauthorized', evidence)
  if (answer.statusCode === 404) return new ModelTrouble('model-not-found', evidence)
  if (answer.statusCode === 429 || answer.statusCode >= 500) return new ModelTrouble('hub-unreachable', evidence)
  return new ModelTrouble('model-download-failed', evidence)
}

async function readText(body: AsyncIterable<Buffer>, most: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    parts.push(part)
    size += part.length
    if (size > most) break
  }
  return Buffer.concat(parts).toString('utf8').slice(0, most)
}

type Sibling = {
  rfilename?: unknown
  size?: unknown
  blobId?: unknown
  lfs?: { sha256?: unknown; size?: unknown } | null
}

/** Pure. Paths that would leave the snapshot folder make the whole listing untrustworthy. */
export function parseListing(repo: string, text: string): HubRepo {
  const bad = (why: string) => new ModelTrouble('model-download-failed', `listing of ${repo}: ${why}`)
  let parsed: { sha?: unknown; siblings?: unknown }
  try {
    parsed = JSON.parse(text) as typeof parsed
  } catch {
    throw bad('is not JSON')
  }
  if (typeof parsed.sha !== 'string' || !/^[0-9a-f]{7,64}$/.test(parsed.sha)) throw bad('names no commit')
  if (!Array.isArray(parsed.siblings)) throw bad('names no files')
  const files = (parsed.siblings as Sibling[]).map((one): HubFile => {
    const path = one.rfilename
    if (typeof path !== 'string' || !isInside(path)) throw bad(`has a bad file name ${String(path)}`)
    const sha256 = one.lfs?.sha256
    const hash = sha256 ?? one.blobId
    const size = one.lfs?.size ?? one.size
    if (typeof hash !== 'string' || !/^[0-9a-f]{40,64}$/.test(hash)) throw bad(`has no hash for ${path}`)
    if (typeof size !== 'number' || !(size >= 0)) throw bad(`has no size for ${path}`)
    return { path, size, hash, algorithm: sha256 === undefined || sha256 === null ? 'git-sha1' : 'sha256' }
  })
  return { repo, commit: parsed.sha, files }
}

function isInside(path: string): boolean {
  return (
    path !== '' &&
    !path.startsWith('/') &&
    !path.includes('\\') &&
    !path.split('/').some((part) => part === '..' || part === '')
  )
}
