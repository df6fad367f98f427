#!/usr/bin/env node
// A model hub with knobs: serves a folder of repositories (ORG/NAME/…) as huggingface.co does. Large files (LFS) redirect to a
// CDN of another origin, Range is honoured, sizes and hashes are true unless a knob lies.
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, relative } from 'node:path'

export type HubKnobs = {
  /** Wanted in Authorization, else 401. */
  token: string | undefined
  /** Every answer of the hub has this status. */
  status: number | undefined
  /** Files from so many bytes on are LFS. */
  lfsFrom: number
  /** The connection breaks after so many bytes of a body, so many times. */
  breakAfter: number | undefined
  breakTimes: number
  /** Bodies end properly, but too early, so many times. */
  truncateTimes: number
  /** Bodies stop coming after half, for ever. */
  stall: boolean
  /** Range is ignored. */
  noRange: boolean
  /** One byte of each body is wrong, so many times. */
  corruptTimes: number
  /** Bytes per second, also of bodies that are on their way; 0: as fast as it goes. */
  speed: number
}

export const defaultHubKnobs: HubKnobs = {
  token: undefined,
  status: undefined,
  lfsFrom: 1024,
  breakAfter: undefined,
  breakTimes: 0,
  truncateTimes: 0,
  stall: false,
  noRange: false,
  corruptTimes: 0,
  speed: 0,
}

export interface RehearsalHub {
  /** Repositories may be added at any time. */
  readonly root: string
  readonly url: string
  readonly knobs: HubKnobs
  /** Each request: where it came to, its path, its Range and whether it carried a token. */
  readonly requests: readonly HubRequest[]
  end(): Promise<void>
}

export type HubRequest = { at: 'hub' | 'cdn'; path: string; range: string | undefined; token: boolean }

type World = { root: string; knobs: HubKnobs; requests: HubRequest[]; cdn: string }

/** @param root folder with ORG/NAME folders below */
export async function startRehearsalHub(root: string, knobs: Partial<HubKnobs> = {}, port = 0): Promise<RehearsalHub> {
  const world: World = { root, knobs: { ...defaultHubKnobs, ...knobs }, requests: [], cdn: '' }
  const hub = createServer((question, answer) => void respondHub(world, question, answer).catch(() => answer.destroy()))
  const cdn = createServer((question, answer) => void respondCdn(world, question, answer).catch(() => answer.destroy()))
  world.cdn = await listen(cdn, 0)
  const url = await listen(hub, port)
  return {
    url,
    root,
    knobs: world.knobs,
    requests: world.requests,
    end: async () => {
      await Promise.all([hub, cdn].map(closeServer))
    },
  }
}

async function respondHub(world: World, question: IncomingMessage, answer: ServerResponse): Promise<void> {
  const { knobs } = world
  const path = decodeURIComponent((question.url ?? '').split('?')[0] ?? '')
  note(world, 'hub', question)
  if (knobs.status !== undefined) return refuse(answer, knobs.status, 'Internal', 'the hub is unwell')
  if (knobs.token !== undefined && question.headers.authorization !== `Bearer ${knobs.token}`)
    return refuse(answer, 401, 'GatedRepo', 'Access to this model is restricted, you must be authenticated')
  const listing = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path)
  if (listing) return respondListing(world, { repo: listing[1] ?? '', revision: listing[2] ?? '' }, answer)
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path)
  const content = file && (await readFile(join(world.root, file[1] ?? '', file[3] ?? '')).catch(() => undefined))
  if (!file || !content) return refuse(answer, 404, 'EntryNotFound', 'Entry not found')
  if (content.length < knobs.lfsFrom) return sendBody(world, content, question, answer)
  answer.writeHead(302, {
    location: `${world.cdn}/${file[1]}/${encodeURIComponent(file[3] ?? '')}`,
    'x-linked-etag': `"${hashOf('sha256', content)}"`,
    'x-linked-size': String(content.length),
  })
  answer.end()
}

async function respondCdn(world: World, question: IncomingMessage, answer: ServerResponse): Promise<void> {
  note(world, 'cdn', question)
  const path = decodeURIComponent(question.url ?? '')
  const content = await readFile(join(world.root, path)).catch(() => undefined)
  if (!content) return refuse(answer, 404, 'EntryNotFound', 'Entry not found')
  return sendBody(world, content, question, answer)
}

async function respondListing(
  world: World,
  { repo, revision }: { repo: string; revision: string },
  answer: ServerResponse,
): Promise<void> {
  const folder = join(world.root, repo)
  const paths = await listFiles(folder).catch(() => [])
  const sha = rehearsalCommit(repo)
  if (paths.length === 0) return refuse(answer, 404, 'RepoNotFound', 'Repository not found')
  if (revision !== 'main' && revision !== sha)
    return refuse(answer, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
  const siblings = await Promise.all(
    paths.map(async (path) => {
      const content = await readFile(join(folder, path))
      const blobId = hashOf('sha1', Buffer.concat([Buffer.from(`blob ${content.length}\0`), content]))
      const lfs = { sha256: hashOf('sha256', content), size: content.length, pointerSize: 134 }
      const isLfs = content.length >= world.knobs.lfsFrom
      return { rfilename: path, size: content.length, blobId, ...(isLfs && { lfs }) }
    }),
  )
  answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: repo, sha, siblings }))
}

/** Every repository has one commit. */
export function rehearsalCommit(repo: string): string {
  return hashOf('sha1', Buffer.from(repo))
}

async function sendBody(world: World, whole: Buffer, question: IncomingMessage, answer: ServerResponse): Promise<void> {
  const { knobs } = world
  const asked = /^bytes=(\d+)-$/.exec(question.headers.range ?? '')
  const from = asked && !knobs.noRange ? Number(asked[1]) : 0
  if (from >= whole.length && from > 0) {
    answer.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end()
    return
  }
  const body = Buffer.from(whole.subarray(from))
  if (knobs.corruptTimes > 0 && body.length > 0) {
    knobs.corruptTimes -= 1
    body[body.length - 1] = (body.at(-1) ?? 0) ^ 1
  }
  const isCut = knobs.truncateTimes > 0
  if (isCut) knobs.truncateTimes -= 1
  const range = from > 0 ? { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` } : {}
  answer.writeHead(from > 0 ? 206 : 200, { ...range, ...(!isCut && { 'content-length': String(body.length) }) })
  if (isCut) return void answer.end(body.subarray(0, Math.floor(body.length / 2)))
  if (knobs.stall) return void answer.write(body.subarray(0, Math.floor(body.length / 2)))
  if (knobs.breakAfter !== undefined && knobs.breakTimes > 0 && body.length > knobs.breakAfter) {
    knobs.breakTimes -= 1
    answer.write(body.subarray(0, knobs.breakAfter), () => setTimeout(() => answer.destroy(), 30))
    return
  }
  await sendSlowly(answer, body, knobs)
}

/** A speed that is changed meanwhile counts at once. */
async function sendSlowly(answer: ServerResponse, body: Buffer, knobs: HubKnobs): Promise<void> {
  let at = 0
  while (knobs.speed > 0 && at < body.length && !answer.destroyed) {
    const step = Math.max(1, Math.floor(knobs.speed / 50))
    answer.write(body.subarray(at, at + step))
    at += step
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  answer.end(body.subarray(at))
}

function note(world: World, at: 'hub' | 'cdn', question: IncomingMessage): void {
  const { range, authorization } = question.headers
  world.requests.push({ at, path: question.url ?? '', range, token: authorization !== undefined })
}

function refuse(answer: ServerResponse, status: number, code: string, message: string): void {
  answer.writeHead(status, { 'x-error-code': code, 'x-error-message': message }).end(JSON.stringify({ error: message }))
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((one) => one.isFile()).map((one) => relative(folder, join(one.parentPath, one.name)))
}

function hashOf(algorithm: 'sha1' | 'sha256', content: Buffer): string {
  return createHash(algorithm).update(content).digest('hex')
}

function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

if (import.meta.main) {
  const [root = '.', port = '0'] = process.argv.slice(2)
  const hub = await startRehearsalHub(root, {}, Number(port))
  console.log(hub.url)
}
