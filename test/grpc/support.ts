// A gRPC listener over launches in memory, engines of plain node:http behind them, and a raw grpc-js client in front.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { connect, type OutgoingHttpHeaders } from 'node:http2'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import type { Upstream } from '../../src/engine/upstream.ts'
import { type GrpcDeps, type GrpcListener, startGrpc } from '../../src/grpc/start-grpc.ts'
import { createUpstream, startEngine } from '../proxy/support.ts'
import { createLaunches, type FakeLaunch, onLoopback, openToAll } from './launches.ts'
import { eventually } from '../support/eventually.ts'

export { createLaunches, createUpstream, type FakeLaunch, startEngine }

/** What an engine was asked, and how it answers. */
export type Asked = { path: string; body: Record<string, unknown>; request: IncomingMessage; response: ServerResponse }

/** An engine that reads JSON and leaves the answer to `answer`. */
export async function startJsonEngine(answer: (asked: Asked) => void): Promise<Upstream> {
  const listener: RequestListener = (request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const text = Buffer.concat(parts).toString('utf8')
      const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
      answer({ path: request.url ?? '', body, request, response })
    })
  }
  return (await startEngine(listener)).upstream
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** As vLLM answers one prompt. */
export function sendCompletion({ body, response }: Asked, text = `re: ${String(body['prompt'])}`): void {
  const usage = { prompt_tokens: String(body['prompt']).length, completion_tokens: text.length, total_tokens: 0 }
  sendJson(response, { choices: [{ index: 0, text, finish_reason: 'length' }], usage })
}

export type Front = { listener: GrpcListener; port: number; client: grpc.Client; other: () => grpc.Client }

export async function startFront(launches: readonly FakeLaunch[], deps: Partial<GrpcDeps> = {}): Promise<Front> {
  const listener = startGrpc({
    launches: createLaunches(launches),
    access: openToAll,
    config: onLoopback,
    log: silentLog,
    drainMs: 0,
    ...deps,
  })
  onTestFinished(() => listener.end('stop'))
  const { port } = await eventually('the listener to open', () => listener.address.value)
  const other = () => openClient(port)
  return { listener, port, client: other(), other }
}

export function openClient(
  port: number,
  credentials = grpc.credentials.createInsecure(),
  options: grpc.ClientOptions = {},
): grpc.Client {
  const unlimited = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }
  const client = new grpc.Client(`127.0.0.1:${port}`, credentials, { ...unlimited, ...options })
  onTestFinished(() => client.close())
  return client
}

const loaded = loadSync(
  ['../../src/api/inference.proto', '../../src/grpc/health.proto', '../../src/grpc/reflection.proto'].map((path) =>
    join(import.meta.dirname, path),
  ),
  { keepCase: true, longs: Number, enums: String, defaults: true, arrays: true },
)

const services = {
  Complete: 'vllm_bootstrap.InferenceService',
  CompleteStream: 'vllm_bootstrap.InferenceService',
  Embed: 'vllm_bootstrap.InferenceService',
  EmbedStream: 'vllm_bootstrap.InferenceService',
  TokenStream: 'vllm_bootstrap.TokenService',
  Check: 'grpc.health.v1.Health',
  Watch: 'grpc.health.v1.Health',
  ServerReflectionInfo: 'grpc.reflection.v1.ServerReflection',
} as const
export type Method = keyof typeof services

export function methodOf(method: Method): grpc.MethodDefinition<object, object> {
  const found = (loaded[services[method]] as grpc.ServiceDefinition)[method]
  if (!found) throw new Error(`no method ${method}`)
  return found
}

export type Outcome<T> = { messages: T[]; code: grpc.status; details: string }

export type Call<T> = {
  stream: grpc.ClientReadableStream<object>
  messages: T[]
  outcome: Promise<Outcome<T>>
}

/** Streaming and unary methods alike: what came, and how it ended. A request of bytes is sent as it is. */
export function call<T = Record<string, unknown>>(
  client: grpc.Client,
  method: Method,
  request: object,
  how: { metadata?: Record<string, string>; options?: grpc.CallOptions } = {},
): Call<T> {
  const { path, requestSerialize, responseDeserialize } = methodOf(method)
  const serialize = (message: object) => (Buffer.isBuffer(message) ? message : requestSerialize(message))
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(how.metadata ?? {})) metadata.set(name, value)
  const { options = { deadline: Date.now() + 90_000 } } = how
  const stream = client.makeServerStreamRequest(path, serialize, responseDeserialize, request, metadata, options)
  const messages: T[] = []
  stream.on('data', (message: T) => messages.push(message))
  stream.on('error', () => {})
  const outcome = new Promise<Outcome<T>>((resolve) => {
    // What was read before the status may come after it.
    const read = new Promise<void>((end) => stream.on('end', end))
    stream.on('status', ({ code, details }) => {
      const told = () => resolve({ messages, code, details })
      if (code === grpc.status.OK) void read.then(told)
      else told()
    })
  })
  return { stream, messages, outcome }
}

/** A client of HTTP/2 alone: does nothing about its deadline, and reads nothing before it is asked to. */
export function callRaw(port: number, method: Method, request: object, headers: OutgoingHttpHeaders = {}) {
  const { path, requestSerialize } = methodOf(method)
  const message = requestSerialize(request)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  const session = connect(`http://127.0.0.1:${port}`)
  onTestFinished(() => session.destroy())
  session.on('error', () => {})
  const usual = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
  const stream = session.request({ ...usual, ...headers })
  stream.on('error', () => {})
  stream.end(Buffer.concat([head, message]))
  return stream
}

/** For the launch `gen`, or `emb`. */
export const toRequest = (method: Method, count: number): object =>
  method.startsWith('Embed')
    ? { launch_id: 'emb', texts: prompts(count) }
    : { launch_id: 'gen', prompts: prompts(count) }

export const prompts = (count: number): string[] => Array.from({ length: count }, (_, at) => `p${at}`)
