#!/usr/bin/env node
// An EC2 instance metadata service with knobs; answers as amazon-ec2-metadata-mock does with --imdsv2 (facts/aws.md 4.5):
// no or a wrong token is 401, a PUT without a good TTL is 400, notices are 404 until they come.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type MetadataKnobs = {
  instanceId: string
  instanceType: string
  region: string
  zone: string
  /** v2: as an instance. v1-only: PUT is refused, everything else answers without a token. hang: accepts and says nothing. */
  mode: 'v2' | 'v1-only' | 'hang'
  /** ms before each answer. */
  delay: number
  /** ms after the start when it comes; undefined: never. */
  spotAfter: number | undefined
  spotAction: 'terminate' | 'stop' | 'hibernate'
  rebalanceAfter: number | undefined
  /** autoscaling/target-lifecycle-state; undefined: not in a group. */
  lifecycle: string | undefined
  maintenance: readonly Record<string, string>[]
  tags: Readonly<Record<string, string>>
  /** Longest life of a token, s, whatever was asked for. */
  tokenSeconds: number
}

export const defaultMetadataKnobs: MetadataKnobs = {
  instanceId: 'i-0123456789abcdef0',
  instanceType: 'p5.48xlarge',
  region: 'us-east-1',
  zone: 'us-east-1a',
  mode: 'v2',
  delay: 0,
  spotAfter: undefined,
  spotAction: 'terminate',
  rebalanceAfter: undefined,
  lifecycle: undefined,
  maintenance: [],
  tags: {},
  tokenSeconds: 21_600,
}

export interface RehearsalMetadata {
  readonly url: string
  /** Turned at any time. */
  readonly knobs: MetadataKnobs
  /** `METHOD path` of each request so far. */
  readonly requests: readonly string[]
  end(): Promise<void>
}

export async function startRehearsalMetadata(knobs: Partial<MetadataKnobs> = {}, port = 0): Promise<RehearsalMetadata> {
  const world: World = {
    knobs: { ...defaultMetadataKnobs, ...knobs },
    began: Date.now(),
    tokens: new Map(),
    requests: [],
  }
  const server = createServer((question, answer) => {
    world.requests.push(`${question.method} ${question.url}`)
    question.resume()
    if (world.knobs.mode === 'hang') return
    setTimeout(() => respond(world, question, answer), world.knobs.delay)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    knobs: world.knobs,
    requests: world.requests,
    end: () => closeServer(server),
  }
}

type World = { knobs: MetadataKnobs; began: number; tokens: Map<string, number>; requests: string[] }

function respond(world: World, question: IncomingMessage, answer: ServerResponse): void {
  const path = (question.url ?? '').replace(/\/+$/, '')
  if (path === '/latest/api/token') return respondToken(world, question, answer)
  const token = question.headers['x-aws-ec2-metadata-token']
  if (world.knobs.mode === 'v2' && !isValid(world, String(token ?? ''))) return send(answer, 401, 'Unauthorized')
  const found = renderItem(world, path)
  send(answer, found === undefined ? 404 : 200, found ?? '<?xml version="1.0"?><h1>404 - Not Found</h1>')
}

function respondToken(world: World, question: IncomingMessage, answer: ServerResponse): void {
  if (world.knobs.mode === 'v1-only') return send(answer, 405, 'Method Not Allowed')
  if (question.method !== 'PUT') return send(answer, 200, '')
  const ttl = Number(question.headers['x-aws-ec2-metadata-token-ttl-seconds'] ?? Number.NaN)
  if (!(ttl >= 1 && ttl <= 21_600)) return send(answer, 400, 'Bad Request')
  const token = `rehearsal-${Math.random().toString(36).slice(2)}`
  world.tokens.set(token, Date.now() + Math.min(ttl, world.knobs.tokenSeconds) * 1000)
  send(answer, 200, token)
}

function isValid(world: World, token: string): boolean {
  return (world.tokens.get(token) ?? 0) > Date.now()
}

function renderItem({ knobs, began }: World, path: string): string | undefined {
  const name = path.replace(/^\/latest\//, '')
  const has = (after: number | undefined) => after !== undefined && Date.now() - began >= after
  const plain: Record<string, string> = {
    'meta-data/instance-id': knobs.instanceId,
    'meta-data/instance-type': knobs.instanceType,
    'meta-data/placement/region': knobs.region,
    'meta-data/placement/availability-zone': knobs.zone,
    'meta-data/local-ipv4': '127.0.0.1',
    'meta-data/instance-life-cycle': knobs.spotAfter === undefined ? 'on-demand' : 'spot',
  }
  if (plain[name] !== undefined) return plain[name]
  switch (name) {
    case 'meta-data/spot/instance-action':
      return has(knobs.spotAfter) ? renderJson({ action: knobs.spotAction, time: isoAfter(120_000) }) : undefined
    case 'meta-data/events/recommendations/rebalance':
      return has(knobs.rebalanceAfter) ? renderJson({ noticeTime: isoAfter(0) }) : undefined
    case 'meta-data/autoscaling/target-lifecycle-state':
      return knobs.lifecycle
    case 'meta-data/events/maintenance/scheduled':
      return renderJson(knobs.maintenance)
    case 'dynamic/instance-identity/document':
      return renderJson({ instanceId: knobs.instanceId, instanceType: knobs.instanceType, region: knobs.region })
    default:
      return name.startsWith('meta-data/tags/instance/') ? knobs.tags[name.slice(24)] : undefined
  }
}

function renderJson(value: unknown): string {
  return JSON.stringify(value, null, 4)
}

/** To the second, as EC2 writes it. */
function isoAfter(ms: number): string {
  return new Date(Math.ceil((Date.now() + ms) / 60_000) * 60_000).toISOString().replace('.000Z', 'Z')
}

function send(answer: ServerResponse, status: number, text: string): void {
  answer.writeHead(status, { 'content-type': 'text/plain' }).end(text)
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

if (import.meta.main) {
  const env = process.env
  const optional = (name: string) => (env[name] === undefined ? undefined : Number(env[name]))
  const started = await startRehearsalMetadata(
    {
      instanceId: env['REHEARSAL_INSTANCE_ID'] ?? defaultMetadataKnobs.instanceId,
      instanceType: env['REHEARSAL_INSTANCE_TYPE'] ?? defaultMetadataKnobs.instanceType,
      delay: optional('REHEARSAL_METADATA_DELAY') ?? 0,
      spotAfter: optional('REHEARSAL_SPOT_AFTER'),
      rebalanceAfter: optional('REHEARSAL_REBALANCE_AFTER'),
      lifecycle: env['REHEARSAL_LIFECYCLE'],
    },
    optional('REHEARSAL_METADATA_PORT') ?? 0,
  )
  console.log(started.url)
}
