// The broker: asks each node how it is and brings it where it should be, with the real one's calls, order and timeouts
// (contracts/api-nodes.md 3.6): a bad probe is FAILED, and FAILED is answered with /stop and /inference/up.
import { onAbort } from '../core/abort.ts'
import { mergeArgs } from './api-node-record.ts'
import type { BrokerNode, NodeStatus, World } from './api-node-world.ts'

export type Broker = {
  /** Polls and reconciles one node at once, as the triggers of the real one do. */
  trigger(entry: BrokerNode): void
  pollAll(): Promise<void>
  reconcileAll(): Promise<void>
}

/** @param mine init of a node that should generate and does not */
export function startBroker(world: World, mine: (entry: BrokerNode) => Promise<unknown>): Broker {
  const reconcile = (one: BrokerNode) => reconcileOne(world, one, mine)
  const pollAll = async () => {
    await Promise.all([...world.nodes.values()].map((entry) => poll(world, entry)))
  }
  const reconcileAll = async () => {
    await Promise.all([...world.nodes.values()].map(reconcile))
  }
  every(world, world.options.pollMs, pollAll)
  every(world, world.options.reconcileMs, reconcileAll)
  return {
    pollAll,
    reconcileAll,
    trigger: (entry) => {
      if (world.options.triggers) void poll(world, entry).then(() => reconcile(entry))
    },
  }
}

/** Where a role of a node is reached: `http://host:port[/version]segment`, or its base_url for both. */
export function urlOf(world: World, { node }: BrokerNode, role: 'poc' | 'inference'): string {
  const version = world.options.version ? `/${world.options.version}` : ''
  if (node.base_url) return `${node.base_url.replace(/\/$/, '')}${version}`
  return role === 'poc'
    ? `http://${node.host}:${node.poc_port}${version}${node.poc_segment}`
    : `http://${node.host}:${node.inference_port}${version}${node.inference_segment}`
}

/** Status poll: 5 s a call; an error of /state is FAILED; health and model count only for INFERENCE without PoC. */
async function poll(world: World, entry: BrokerNode): Promise<void> {
  const { state } = entry
  const ask = (url: string) => world.call(entry, { method: 'GET', url, timeoutMs: world.options.probeTimeoutMs })
  const poc = urlOf(world, entry, 'poc')
  const set = (status: NodeStatus, reason = '') => {
    state.current_status = status
    state.failure_reason = reason
    state.status_timestamp = new Date().toISOString()
  }
  try {
    const answer = await ask(`${poc}/api/v1/state`)
    if (answer.status !== 200) return set('FAILED', `state answered ${answer.status}`)
    const seen = answer.json as { state?: string; version?: string } | undefined
    state.ml_node_version = seen?.version ?? ''
    const status = toStatus(seen?.state)
    const pow = await ask(`${poc}/api/v1/inference/pow/status`).catch(() => undefined)
    const powStatus = (pow?.json as { status?: string } | undefined)?.status
    state.poc_current_status = powStatus === 'GENERATING' || powStatus === 'VALIDATING' ? powStatus : 'IDLE'
    if (state.poc_current_status !== 'IDLE') return set('POC')
    if (status !== 'INFERENCE') return set(status)
    const ill = await judgeInference(world, entry)
    return ill ? set('FAILED', ill) : set('INFERENCE')
  } catch (error) {
    set('FAILED', error instanceof Error ? error.message : String(error))
  }
}

/** What is wrong with the inference side, or undefined. The error of /v1/models is ignored, another model is not. */
async function judgeInference(world: World, entry: BrokerNode): Promise<string | undefined> {
  const inference = urlOf(world, entry, 'inference')
  const ask = (path: string) =>
    world.call(entry, { method: 'GET', url: `${inference}${path}`, timeoutMs: world.options.probeTimeoutMs })
  try {
    const health = await ask(entry.node.base_url ? '/readyz' : '/health')
    if (health.status !== 200) return `health answered ${health.status}`
  } catch (error) {
    return `health failed: ${error instanceof Error ? error.message : String(error)}`
  }
  const models = await ask('/v1/models').catch(() => undefined)
  const loaded = (models?.json as { data?: { id?: string }[] } | undefined)?.data?.[0]?.id
  const wanted = expectedModel(entry)
  return loaded !== undefined && loaded !== wanted ? `model ${loaded} is loaded, expected ${wanted}` : undefined
}

/** Brings a node where the phase wants it; one order at a time per node. */
async function reconcileOne(
  world: World,
  entry: BrokerNode,
  mine: (entry: BrokerNode) => Promise<unknown>,
): Promise<void> {
  const { state } = entry
  if (entry.busy || world.abort.signal.aborted || !state.admin_state.enabled) return
  if (state.intended_status === 'POC') return resumePoc(entry, mine)
  if (state.intended_status !== 'INFERENCE') return
  if (state.current_status === 'INFERENCE' && state.poc_current_status === 'IDLE') return
  entry.busy = true
  state.reconcile_info = { status: 'INFERENCE', poc_status: 'IDLE' }
  try {
    await bringUp(world, entry)
    state.current_status = 'INFERENCE'
    state.poc_current_status = 'IDLE'
    state.failure_reason = ''
  } catch (error) {
    state.current_status = 'FAILED'
    state.failure_reason = error instanceof Error ? error.message : String(error)
  } finally {
    state.status_timestamp = new Date().toISOString()
    delete state.reconcile_info
    entry.busy = false
  }
}

/** A node that stopped in the phase of generation, or was not reached when it began. */
async function resumePoc(entry: BrokerNode, mine: (entry: BrokerNode) => Promise<unknown>): Promise<void> {
  const { state } = entry
  if (state.poc_intended_status !== 'GENERATING' || state.poc_current_status === 'GENERATING') return
  entry.busy = true
  try {
    await mine(entry)
  } catch (error) {
    state.failure_reason = error instanceof Error ? error.message : String(error)
  } finally {
    entry.busy = false
  }
}

async function bringUp(world: World, entry: BrokerNode): Promise<void> {
  const poc = urlOf(world, entry, 'poc')
  const { probeTimeoutMs, orderTimeoutMs } = world.options
  const now = await world.call(entry, { method: 'GET', url: `${poc}/api/v1/state`, timeoutMs: probeTimeoutMs })
  const isInference = toStatus((now.json as { state?: string } | undefined)?.state) === 'INFERENCE'
  if (isInference && !(await judgeInference(world, entry))) {
    await world.call(entry, {
      method: 'POST',
      url: `${poc}/api/v1/inference/pow/stop`,
      body: {},
      timeoutMs: orderTimeoutMs,
    })
    return
  }
  await reload(world, entry)
}

/** `/stop`, whose status nobody reads, then `/inference/up`, which may take the whole load. */
export async function reload(world: World, entry: BrokerNode): Promise<void> {
  const poc = urlOf(world, entry, 'poc')
  const timeoutMs = world.options.orderTimeoutMs
  const model = expectedModel(entry)
  await world.call(entry, { method: 'POST', url: `${poc}/api/v1/stop`, timeoutMs })
  const body = {
    model,
    dtype: 'auto',
    additional_args: mergeArgs(world.options.governance?.[model] ?? [], entry.node.models[model]?.args ?? []),
  }
  const up = await world.call(entry, { method: 'POST', url: `${poc}/api/v1/inference/up`, body, timeoutMs })
  if (up.status >= 400) throw new Error(`inference up answered ${up.status}: ${JSON.stringify(up.json)}`)
}

export function expectedModel({ node }: BrokerNode): string {
  return Object.keys(node.models)[0] ?? ''
}

function toStatus(state: string | undefined): NodeStatus {
  switch (state) {
    case 'INFERENCE':
    case 'STOPPED':
      return state
    case 'POW':
      return 'POC'
    case 'TRAIN':
      return 'TRAINING'
    default:
      return 'UNKNOWN'
  }
}

function every(world: World, ms: number, run: () => Promise<void>): void {
  const timer = setInterval(() => void run(), ms)
  onAbort(world.abort.signal, () => clearInterval(timer))
}
