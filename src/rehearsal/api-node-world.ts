// What one rehearsed API node knows: its nodes, the chain's phase, what was called and what arrived. Every part of it shares this.
import { Agent, request } from 'undici'
import type { Governance, NodeRecord } from './api-node-record.ts'
import { Coverage } from './api-node-coverage.ts'
import { Faults } from './api-node-faults.ts'

export type NodeStatus = 'UNKNOWN' | 'INFERENCE' | 'POC' | 'TRAINING' | 'STOPPED' | 'FAILED'
export type PocStatus = 'IDLE' | 'GENERATING' | 'VALIDATING'

export type NodeState = {
  intended_status: NodeStatus
  current_status: NodeStatus
  poc_intended_status: PocStatus
  poc_current_status: PocStatus
  reconcile_info?: { status: NodeStatus; poc_status: PocStatus }
  lock_count: number
  failure_reason: string
  status_timestamp: string
  ml_node_version: string
  admin_state: { enabled: boolean; epoch: number }
  epoch_models: Record<string, unknown>
  epoch_ml_nodes: Record<string, unknown>
  preserved_models: Record<string, unknown>
}

export type BrokerNode = { node: NodeRecord; state: NodeState; busy: boolean }

export type WorldOptions = {
  /** Put before every path to a node, `v3.0.8`; empty: none. */
  version: string
  governance: Governance
  /** drop: Register drops unknown models and fails when none is left (June 2026); reject: any unknown one fails it. */
  unknownModels: 'drop' | 'reject'
  reservedArgs: readonly string[]
  /** The routes of the private fork: hardware, poc_init, ?access=true. */
  privateRoutes: boolean
  /** Whether an update makes the broker load the model again. */
  reloadOnUpdate: 'never' | 'changed' | 'always'
  /** Host names that mean something else here: `frps` → 127.0.0.1. */
  resolve: Readonly<Record<string, string>>
  /** Whether a new node is polled at once, as the triggers of the real one do. */
  triggers: boolean
  pollMs: number
  reconcileMs: number
  /** Of a status call, ms. */
  probeTimeoutMs: number
  /** Of `up` and other orders, ms. */
  orderTimeoutMs: number
  publicKey: string
  seqLen: number
  kDim: number
  strongerRng: boolean
}

/** One request: `out` from the broker to a node, `in` to one of our listeners. */
export type Call = {
  at: number
  direction: 'in' | 'out'
  listener?: 'admin' | 'callbacks'
  node?: string
  method: string
  path: string
  status?: number
  error?: string
  ms?: number
  body?: unknown
  contentType?: string
}

export type Round = { blockHash: string; blockHeight: number; nodeCount: number; params: Record<string, unknown> }

export class World {
  readonly options: WorldOptions
  readonly nodes = new Map<string, BrokerNode>()
  readonly calls: Call[] = []
  readonly faults = new Faults()
  readonly coverage = new Coverage()
  readonly hardware = new Map<string, unknown>()
  readonly validated: unknown[] = []
  readonly abort = new AbortController()
  phase: 'inference' | 'generate' | 'validate' = 'inference'
  round: Round | undefined
  /** What GET poc_init answers, by id; `{}` where nothing is set. */
  readonly pocInit = new Map<string, unknown>()
  epoch = 1
  lastNum = 0
  callbackBase = ''
  inFlight = 0
  peak = 0
  readonly #agent = new Agent({ headersTimeout: 16 * 60_000, bodyTimeout: 0, connect: { timeout: 5_000 } })

  constructor(options: WorldOptions) {
    this.options = options
  }

  record(call: Call): void {
    this.calls.push(call)
    if (this.calls.length > 5_000) this.calls.splice(0, 1_000)
  }

  /** One call of the broker. JSON without a Content-Type header, as the real one sends it. @throws on network trouble and timeout */
  async call(
    { node }: BrokerNode,
    order: { method: 'GET' | 'POST'; url: string; body?: unknown; timeoutMs: number },
  ): Promise<{ status: number; json: unknown }> {
    const url = new URL(order.url)
    const { method, body } = order
    const call: Call = {
      at: Date.now(),
      direction: 'out',
      node: node.id,
      method,
      path: url.pathname,
      ...(body !== undefined && { body }),
    }
    this.record(call)
    const began = performance.now()
    try {
      const answer = await request(this.#reach(url), {
        dispatcher: this.#agent,
        method,
        headers: node.auth_token ? { authorization: `Bearer ${node.auth_token}` } : {},
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.any([AbortSignal.timeout(order.timeoutMs), this.abort.signal]),
      })
      call.status = answer.statusCode
      return { status: answer.statusCode, json: toJson(await answer.body.text()) }
    } catch (error) {
      call.error = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
      throw error
    } finally {
      call.ms = performance.now() - began
    }
  }

  async end(): Promise<void> {
    this.abort.abort()
    await this.#agent.destroy()
  }

  #reach(url: URL): URL {
    const other = this.options.resolve[url.hostname]
    if (other) url.hostname = other
    return url
  }
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
