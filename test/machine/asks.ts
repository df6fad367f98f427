// What callers from outside send to a world: every call is bounded and on a connection of its own, so that what it meets is
// what a new caller meets.
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { eventually } from '../support/eventually.ts'
import type { World } from './world.ts'

export type Answer = { status: number; text: string; ms: number }

type Ask = { method?: string; body?: unknown; headers?: Record<string, string>; ms?: number }

/** @throws when no complete answer came within `ms` (default 10 s) */
export function ask(url: string, { method, body, headers, ms = 10_000 }: Ask = {}): Promise<Answer> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const options = { method: method ?? (body === undefined ? 'GET' : 'POST'), headers: headers ?? {}, agent: false }
    const call = request(url, { ...options, signal: AbortSignal.timeout(ms) }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, ms: performance.now() - began }))
      answer.on('error', reject)
    })
    call.on('error', reject)
    call.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body))
  })
}

export const model = 'rehearsal/tiny-1b'

/** The broker's order, JSON without a Content-Type. */
export function orderUp(world: World, additionalArgs: readonly string[] = [], name = model): Promise<Answer> {
  const body = { model: name, dtype: 'auto', additional_args: additionalArgs }
  return ask(`${world.node}/api/v1/inference/up`, { body, ms: 30_000 })
}

export const orderStop = (world: World) => ask(`${world.node}/api/v1/stop`, { method: 'POST' })

/** The token that the frp server wants. */
export async function readFrpToken({ machine }: World): Promise<string> {
  const token = /auth\.token = "(.+)"/.exec(await readFile(machine.frps.config, 'utf8'))?.[1]
  if (!token) throw new Error('the frp server wants no token')
  return token
}

/** Where the frp server carries a role: what the API node reaches. */
export function toRemote(world: World, role: 'inference' | 'node'): string {
  const record = recordOf(world)
  const host = world.apiNode.world.options.resolve[record.host] ?? record.host
  return `http://${host}:${role === 'inference' ? record.inference_port : record.poc_port}`
}

/** As the API node keeps it. @throws before the node is registered */
export function recordOf(world: World) {
  const [entry] = world.apiNode.world.nodes.values()
  if (!entry) throw new Error('nothing is registered')
  return entry.node
}

/** Pids of live engines, by slot; they change when a model is loaded again. */
export async function enginePids(world: World): Promise<(number | undefined)[]> {
  return (await world.engines()).toSorted((a, b) => a.slot - b.slot).map(({ pid }) => pid)
}

/** Of the engine in `slot`, as soon as it has one. Never 0, which would name our own process group to kill(). */
export function whenPid(world: World, slot = 0): Promise<number> {
  return eventually(`engine ${slot} has a pid`, async () => (await enginePids(world))[slot])
}

export interface Traffic {
  /** How often each outcome came: a status, or the code of a network error. */
  readonly seen: ReadonlyMap<string, number>
  stop(): Promise<void>
}

const chat = { model, max_tokens: 1, messages: [{ role: 'user', content: 'a' }] }

/** Chats one after the other until stopped. */
export function startTraffic(world: World): Traffic {
  const seen = new Map<string, number>()
  const state = { on: true }
  const done = (async () => {
    while (state.on) {
      const headers = { 'content-type': 'application/json' }
      const outcome = await ask(`${world.inference}/v1/chat/completions`, { body: chat, headers, ms: 20_000 }).then(
        ({ status }) => String(status),
        (error: NodeJS.ErrnoException) => error.code ?? error.message,
      )
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    seen,
    stop: () => {
      state.on = false
      return done
    },
  }
}
