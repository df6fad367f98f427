// A rehearsal API node and our part before it, ended with the test.
import { signal } from '@preact/signals-core'
import { onTestFinished } from 'vitest'
import { type ApiNodesDeps, startApiNodes, type TunnelState } from '../../src/api-nodes/api-nodes.ts'
import { defaultTiming, type Timing } from '../../src/api-nodes/timing.ts'
import { registrationSlice } from '../../src/config/registration.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import { parseNode } from '../../src/rehearsal/api-node-record.ts'
import type { BrokerNode } from '../../src/rehearsal/api-node-world.ts'
import { type ApiNode, type ApiNodeOptions, startApiNode } from '../../src/rehearsal/api-node.ts'
import { tempDir } from '../support/temp-dir.ts'

export const model = 'Qwen/Qwen3-32B-FP8'

/** Everything a hundred times faster than outside, so that a retry is a matter of milliseconds. */
export const quick: Timing = {
  ...defaultTiming,
  verifyEvery: 200,
  recheckFailed: 100,
  refusedFrom: 60_000,
  refusedTo: 120_000,
  retryWindow: 40,
  retryCap: 200,
  tunnelSpread: 50,
  secondPost: 20,
  listTimeout: 400,
  postTimeout: 400,
}

export const twoGpus: Inventory = {
  kind: 'known',
  at: new Date(0),
  gpus: [0, 1].map((index) => ({
    index,
    uuid: `GPU-${index}`,
    name: 'NVIDIA H100 80GB HBM3',
    memoryTotalMiB: 81_559,
    mig: false,
  })),
}

/** The broker does not poll: nobody stands behind the announced ports. */
export async function rehearse(options: ApiNodeOptions = {}): Promise<ApiNode> {
  const node = await startApiNode({ scale: 1_000, reloadOnUpdate: 'never', triggers: false, ...options })
  onTestFinished(() => node.end())
  return node
}

/** Settings as the schema reads them from raw variables. */
export function settings(raw: Partial<Record<keyof typeof registrationSlice.shape, string>>) {
  return registrationSlice.parse({ clientId: '0042', ...raw })
}

type Changes = Partial<ApiNodesDeps> & { raw?: Parameters<typeof settings>[0] }

/** A part that serves and needs no tunnel, unless `changes` says otherwise. */
export async function startPart(apiNodes: readonly { adminPort: number }[], changes: Changes = {}) {
  const { raw = {}, ...others } = changes
  const serving = signal(true)
  const tunnel = signal<TunnelState>('none')
  const apiNodesText = apiNodes.map(({ adminPort }) => `127.0.0.1:${adminPort}`).join(',')
  const deps: ApiNodesDeps = {
    config: settings({ apiNodes: apiNodesText, ...raw }),
    facts: { model, args: ['--max-model-len', '4096'], tunnelled: true, ports: { inference: 5000, node: 8080 } },
    needsEngine: true,
    factsKnown: signal(true),
    stateDir: await tempDir(),
    serving,
    tunnelFor: () => tunnel,
    inventory: signal(twoGpus),
    gpuDevices: () => ({ devices: [{ index: 0, name: 'H100' }], count: 1 }),
    startPoc: () => Promise.resolve({ status: 200, text: '{}' }),
    log: silentLog,
    timing: quick,
    ...others,
  }
  const part = startApiNodes(deps)
  onTestFinished(() => part.end('restart'))
  return { part, deps, serving, tunnel, view: (at = 0) => part.views.value[at] }
}

export function posts(node: ApiNode, path = '/admin/v1/nodes') {
  return node.world.calls.filter((call) => call.direction === 'in' && call.method === 'POST' && call.path === path)
}

export function gets(node: ApiNode) {
  return node.world.calls.filter((call) => call.direction === 'in' && call.method === 'GET')
}

/** A body for REGISTRATION_JSON. */
export const bare = {
  id: '0042',
  host: 'frps',
  inference_port: 10042,
  poc_port: 20042,
  max_concurrent: 5,
  models: { [model]: { args: [] as string[] } },
}

/** A record as if somebody else had put it there. */
export function toEntry(changes: Record<string, unknown> = {}, state: Record<string, unknown> = {}): BrokerNode {
  const node = parseNode({ ...bare, ...changes })
  if (typeof node === 'string') throw new Error(node)
  const idle = { intended_status: 'INFERENCE', current_status: 'INFERENCE', failure_reason: '' }
  const listed = { ...idle, admin_state: { enabled: true, epoch: 1 }, ...state } as unknown as BrokerNode['state']
  return { node: { ...node, node_num: 1 }, state: listed, busy: false }
}
