// The service under test as its clients reach it: raw REST calls, raw gRPC calls, and the launches that the cases share.
import type * as Grpc from '@grpc/grpc-js'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as wait } from 'node:timers/promises'
import { openGrpc, type GrpcCalls } from './grpc-calls.ts'

export type TargetOptions = {
  url: string
  /** `host:port`; without it the gRPC cases are left out. */
  grpc?: string | undefined
  key?: string | undefined
  /** Loads and generates. */
  model: string
  embedModel: string
  /** Does not load. */
  badModel: string
  /** Two that no other launch uses. */
  gpus: readonly [number, number]
  /** Of one load, ms. */
  patience: number
  /** What the service was started with, as far as it is known: cases about a variable need it here. */
  environment?: Readonly<Record<string, string>>
  /** Kills the processes of a launch from outside; without it that case is left out. */
  kill?: ((launchId: string) => Promise<void>) | undefined
  /** Kills the service and starts it again. */
  restart?: (() => Promise<void>) | undefined
}

export type Answer = { status: number; headers: Record<string, string>; text: string; json: unknown }

export type Ask = {
  /** As JSON. */
  body?: unknown
  /** As it is, with `type` as its content type, or none. */
  raw?: { text: string | Buffer; type?: string }
  /** undefined: the key of the target; null: none. */
  authorization?: string | null
}

export type LaunchFacts = {
  launch_id: string
  model: string
  gpu_ids: number[]
  task: string
  state: string
  created_at: string
  updated_at: string
  error: string | null
}

export type Task = 'generate' | 'embed'

export interface Target extends TargetOptions {
  /** One call on a connection of its own, at most 60 s. */
  call(method: string, path: string, ask?: Ask): Promise<Answer>
  grpcCalls(): GrpcCalls
  /** Metadata with the key, where there is one. */
  metadata(): Grpc.Metadata
  launch(body: object): Promise<LaunchFacts>
  status(id: string): Promise<LaunchFacts>
  stop(id: string): Promise<LaunchFacts>
  until(id: string, ...states: string[]): Promise<LaunchFacts>
  /** A serving launch that the cases share: generate on the first GPU, embed on the second. */
  serving(task: Task): Promise<LaunchFacts>
  /** Stops what the cases started. */
  clear(): Promise<void>
}

const patience = 60_000

export function createTarget(options: TargetOptions): Target {
  const started = new Set<string>()
  const shared = new Map<Task, Promise<LaunchFacts>>()
  const held: { grpc?: GrpcCalls } = {}
  const target: Target = {
    ...options,
    call: (method, path, ask = {}) => send(options, method, path, ask),
    grpcCalls() {
      if (options.grpc === undefined) throw new Error('no gRPC address was given')
      return (held.grpc ??= openGrpc(options.grpc))
    },
    metadata: () => target.grpcCalls().metadata(options.key === undefined ? undefined : `Bearer ${options.key}`),
    async launch(body) {
      const answer = await target.call('POST', '/launch', { body })
      if (answer.status !== 201)
        throw new Error(`POST /launch ${JSON.stringify(body)}: ${answer.status} ${answer.text}`)
      const made = answer.json as LaunchFacts
      started.add(made.launch_id)
      return made
    },
    status: async (id) => (await target.call('GET', `/status/${id}`)).json as LaunchFacts,
    async stop(id) {
      await target.call('POST', `/stop/${id}`)
      return target.until(id, 'stopped', 'failed')
    },
    async until(id, ...states) {
      const end = performance.now() + options.patience
      for (;;) {
        const now = await target.status(id)
        if (states.includes(now.state)) return now
        const isOver = now.state === 'failed' || now.state === 'stopped'
        if (isOver || performance.now() > end)
          throw new Error(`launch ${id} is ${now.state} (${now.error}) instead of ${states.join(' or ')}`)
        await wait(50)
      }
    },
    serving(task) {
      const found = shared.get(task) ?? serve(target, task)
      shared.set(task, found)
      return found
    },
    async clear() {
      held.grpc?.close()
      delete held.grpc
      shared.clear()
      const open = [...started]
      started.clear()
      await Promise.all(open.map((id) => target.call('POST', `/stop/${id}`).catch(() => {})))
    },
  }
  return target
}

async function serve(target: Target, task: Task): Promise<LaunchFacts> {
  const [first, second] = target.gpus
  const wish = { model: task === 'embed' ? target.embedModel : target.model, task }
  const made = await target.launch({ ...wish, gpu_ids: [task === 'embed' ? second : first] })
  return target.until(made.launch_id, 'ready')
}

function send({ url, key }: TargetOptions, method: string, path: string, ask: Ask): Promise<Answer> {
  const text = ask.body === undefined ? ask.raw?.text : JSON.stringify(ask.body)
  const type = ask.body === undefined ? ask.raw?.type : 'application/json'
  const authorization =
    ask.authorization === undefined ? (key === undefined ? null : `Bearer ${key}`) : ask.authorization
  const headers = {
    ...(type !== undefined && { 'content-type': type }),
    ...(text !== undefined && { 'content-length': Buffer.byteLength(text) }),
    ...(authorization !== null && { authorization }),
  }
  const request = url.startsWith('https:') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent: false, signal: AbortSignal.timeout(patience) }
    const call = request(`${url.replace(/\/+$/, '')}${path}`, options, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', reject)
      answer.on('end', () => {
        const whole = Buffer.concat(parts).toString('utf8')
        const found = { status: answer.statusCode ?? 0, headers: answer.headers as Record<string, string>, text: whole }
        resolve({ ...found, json: parse(whole) })
      })
    })
    call.on('error', reject)
    call.end(text)
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
