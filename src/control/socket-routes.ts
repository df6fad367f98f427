// What the command line can ask over the socket. Shapes are those of the parts; each verb names its own.
import { computed, type ReadonlySignal } from '@preact/signals-core'
import { z } from 'zod'
import type { ApiNodes } from '../api-nodes/api-nodes.ts'
import type { NodeStatus, PartStatus } from '../api/status.ts'
import { changesOf } from '../core/changes.ts'
import { Refusal } from '../core/errors.ts'
import { describePart, type Machine } from '../core/machine.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Poc } from '../poc/poc.ts'
import type { Tunnels } from '../tunnel/tunnels.ts'
import type { SocketRoutes } from './socket.ts'

export type SocketDeps = {
  machine: Machine
  fleet: Fleet
  poc: Poc
  tunnels: Tunnels
  apiNodes: ApiNodes
  version: string
  startedAt: Date
}

const leaveBody = z
  .object({ id: z.string().trim().min(1).optional(), remove: z.boolean().default(false) })
  .default({ remove: false })

export function createSocketRoutes(deps: SocketDeps): SocketRoutes {
  const { fleet, poc, tunnels, apiNodes } = deps
  const status = describeNode(deps)
  return {
    'GET /status': async () => status.peek(),
    'GET /status/watch': ({ abort }) => changesOf(status, abort),
    'GET /engines': async () => fleet.engines.peek(),
    'GET /tunnels': async () => tunnels.tunnels.peek(),
    'GET /api-nodes': async () => apiNodes.views.peek(),
    'GET /poc': async () => describeRound(poc),
    'POST /poc/stop': () => poc.stop(),
    'POST /api-nodes/leave': async ({ body }) => {
      const wish = leaveBody.safeParse(body)
      if (!wish.success)
        throw new Refusal(
          'bad-leave',
          400,
          `leave: ${wish.error.issues.map((one) => `${one.path.join('.')}: ${one.message}`).join('; ')}`,
        )
      const { id, remove } = wish.data
      return apiNodes.leave({ ...(id !== undefined && { id }), remove })
    },
  }
}

export function describeNode({
  machine,
  version,
  startedAt,
}: Pick<SocketDeps, 'machine' | 'version' | 'startedAt'>): ReadonlySignal<NodeStatus> {
  const last: { text?: string; node?: NodeStatus } = {}
  return computed(() => {
    const { health, summary } = machine.status.value
    const parts = [...machine.parts.value]
    const node = { health, summary, version, pid: process.pid, startedAt: startedAt.toISOString(), parts }
    // Parts are described anew whenever any detail moves: who follows wants changes that can be seen.
    const text = JSON.stringify(node)
    if (last.node && last.text === text) return last.node
    Object.assign(last, { text, node })
    return node
  })
}

function describeRound(poc: Poc): { part: PartStatus; round: object | null } {
  const round = poc.round.peek()
  const facts = round && {
    blockHeight: round.request.block_height,
    blockHash: round.request.block_hash,
    engines: round.engines,
  }
  return { part: describePart(poc), round: facts ?? null }
}
