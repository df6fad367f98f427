// The chain's phases as the broker plays them: start (init/generate), validation (pow/stop, then generate calls), back to inference.
import { expectedModel, urlOf } from './api-node-broker.ts'
import type { BrokerNode, World } from './api-node-world.ts'

export type PocStart = { blockHash?: string; blockHeight?: number; batchSize?: number }

/** The argument of both inits; `node_id` is the number that the broker gave the node. */
export function toInit(world: World, entry: BrokerNode, start: PocStart = {}): Record<string, unknown> {
  const model = expectedModel(entry)
  const round = world.round
  return {
    block_hash: start.blockHash ?? round?.blockHash ?? `rehearsal-${world.epoch}`,
    block_height: start.blockHeight ?? round?.blockHeight ?? 1000 + world.epoch,
    public_key: world.options.publicKey,
    node_id: entry.node.node_num,
    node_count: countNodes(world),
    params: { model, seq_len: world.options.seqLen, k_dim: world.options.kDim },
    // Escaped twice: the router of the callback server undoes it once, its handler once more.
    url: `${world.callbackBase}/v2/poc-batches/${encodeURIComponent(encodeURIComponent(model))}`,
    ...(world.options.strongerRng && { poc_stronger_rng: true }),
    ...(start.batchSize !== undefined && { batch_size: start.batchSize }),
  }
}

/** @returns per node id the status of its init, `skipped` where it generates already, or the error */
export async function startPoc(world: World, start: PocStart): Promise<Record<string, number | string>> {
  world.epoch += 1
  world.round = {
    blockHash: start.blockHash ?? `rehearsal-${world.epoch}`,
    blockHeight: start.blockHeight ?? 1000 + world.epoch,
    nodeCount: countNodes(world),
    params: {},
  }
  world.phase = 'generate'
  return toAll(world, async (entry) => {
    entry.state.intended_status = 'POC'
    entry.state.poc_intended_status = 'GENERATING'
    // One order at a time: the broker's own look would send the same.
    const wasBusy = entry.busy
    entry.busy = true
    try {
      return await initPoc(world, entry, start)
    } finally {
      entry.busy = wasBusy
    }
  })
}

/** @returns the status of the answer, `skipped` where it generates already */
export async function initPoc(world: World, entry: BrokerNode, start: PocStart = {}): Promise<number | string> {
  const poc = urlOf(world, entry, 'poc')
  const status = await world.call(entry, {
    method: 'GET',
    url: `${poc}/api/v1/inference/pow/status`,
    timeoutMs: world.options.probeTimeoutMs,
  })
  if ((status.json as { status?: string } | undefined)?.status === 'GENERATING') return 'skipped'
  const url = `${poc}/api/v1/inference/pow/init/generate`
  const answer = await order(world, entry, url, toInit(world, entry, start))
  if (answer.status < 400) {
    entry.state.current_status = 'POC'
    entry.state.poc_current_status = 'GENERATING'
  }
  return answer.status
}

/** Stops mining everywhere, then gives each node what its neighbour (alone: itself) delivered. */
export async function startValidation(world: World): Promise<Record<string, number | string>> {
  world.phase = 'validate'
  await toAll(world, async (entry) => (await order(world, entry, stopUrl(world, entry), {})).status)
  const entries = enabled(world)
  return toAll(world, async (entry) => {
    entry.state.poc_intended_status = 'VALIDATING'
    const other = entries[(entries.indexOf(entry) + 1) % entries.length] ?? entry
    const artifacts = world.coverage.sample(world.round?.blockHash ?? '', other.node.node_num).slice(0, 64)
    if (artifacts.length === 0) return 'nothing to validate'
    const body = {
      ...toInit(world, entry),
      node_id: other.node.node_num,
      nonces: artifacts.map(({ nonce }) => nonce),
      wait: false,
      validation: { artifacts },
      stat_test: { dist_threshold: 0.4, p_mismatch: 0.1, p_value_threshold: 0.05 },
    }
    return (await order(world, entry, `${urlOf(world, entry, 'poc')}/api/v1/inference/pow/generate`, body)).status
  })
}

export async function stopPoc(world: World): Promise<Record<string, number | string>> {
  world.phase = 'inference'
  return toAll(world, async (entry) => {
    entry.state.intended_status = 'INFERENCE'
    entry.state.poc_intended_status = 'IDLE'
    return (await order(world, entry, stopUrl(world, entry), {})).status
  })
}

function stopUrl(world: World, entry: BrokerNode): string {
  return `${urlOf(world, entry, 'poc')}/api/v1/inference/pow/stop`
}

function order(world: World, entry: BrokerNode, url: string, body: unknown) {
  return world.call(entry, { method: 'POST', url, body, timeoutMs: world.options.orderTimeoutMs })
}

function enabled(world: World): BrokerNode[] {
  return [...world.nodes.values()].filter(({ state }) => state.admin_state.enabled)
}

function countNodes(world: World): number {
  return Math.max(0, ...[...world.nodes.values()].map(({ node }) => node.node_num)) + 1
}

async function toAll(
  world: World,
  each: (entry: BrokerNode) => Promise<number | string>,
): Promise<Record<string, number | string>> {
  const results = await Promise.all(
    enabled(world).map(async (entry): Promise<[string, number | string]> => {
      const result = await each(entry).catch((error: unknown) => `failed: ${String(error)}`)
      return [entry.node.id, result]
    }),
  )
  return Object.fromEntries(results)
}
