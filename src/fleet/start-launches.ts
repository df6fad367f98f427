// Launches as their clients use them: asked for, watched, read, stopped. What becomes of them is decided in the loop.
import { computed, type ReadonlySignal } from '@preact/signals-core'
import { isTerminal, type LaunchResponse } from '../api/launches.ts'
import { within } from '../core/abort.ts'
import { Refusal } from '../core/errors.ts'
import { until } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Claim } from './claim.ts'
import type { LaunchDesk } from './launch-desk.ts'
import type { LaunchGate } from './launch-gate.ts'
import { followLog, type LogSource, readLog } from './launch-log.ts'
import { toLaunchId } from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'
import type { LaunchRetention } from './launch-retention.ts'
import { createLaunchViews, describeLaunches, type LaunchViewDeps } from './launch-views.ts'
import type { Launches } from './launches.ts'
import type { NodeLaunch } from './node-launch.ts'
import type { OrdersDesk } from './orders-desk.ts'
import { isOfNode, type Member } from './roster.ts'

export type LaunchesDeps = Omit<LaunchViewDeps, 'node' | 'pauses' | 'queue'> & {
  records: LaunchRecords
  desk: LaunchDesk
  gate: LaunchGate
  node: NodeLaunch
  retention: LaunchRetention
  orders: OrdersDesk
  claim: ReadonlySignal<Claim>
  /** MODEL_NAME */
  model: string | undefined
  ending: AbortSignal
}

export function startLaunches(deps: LaunchesDeps): Launches {
  const { records, desk, gate, node, retention, orders, ending } = deps
  const views = { ...deps, node: node.response, pauses: desk.pauses, queue: gate.queue }
  const all = createLaunchViews(views)
  const find = (id: string) => findIn(all.peek(), id)
  const get = (id: string): LaunchResponse => {
    const found = find(id)
    if (!found) throw new Refusal('launch-unknown', 404, `Unknown launch_id: ${id}`)
    return found
  }
  const isNode = (id: string) => id === node.id()
  return {
    name: 'launches',
    ...describeLaunches(all, views, ending),
    all,
    get: find,
    create: async (request) => get(await gate.admit(request)),
    async stop(id, { force, within: bound }) {
      if (isTerminal(get(id).state) && !(isNode(id) && force)) return get(id)
      if (isNode(id) && !force) throw refuseNode(id)
      if (isNode(id)) orders.halt()
      else desk.stop(id, pickMembers(id, deps).length > 0)
      await until(toEnded(id, all, deps), Boolean, within(bound, ending)).catch(() => {})
      return get(id)
    },
    async startNode() {
      const held = node.response.peek()
      if (!held) throw refuseAbsent(deps.model)
      if (isTerminal(held.state) || held.state === 'stopping') orders.resume()
      return get(node.id())
    },
    async forget(id) {
      const { state } = get(id)
      if (isNode(id) || !isTerminal(state))
        throw new Refusal('launch-not-ended', 409, `Launch ${id} has not ended (state=${state})`)
      await retention.forget(id)
    },
    readLog: async (id, offset, most) => readLog(toSource(get(id), deps, all), offset, most),
    followLog: (id, offset, abort) => followLog(toSource(get(id), deps, all), offset, abort),
    upstreams: (id): readonly Upstream[] => pickMembers(id, deps).map((one) => one.life.upstream),
    endsWithin: 5000,
    end: () => records.flush(),
  }
}

const findIn = (all: readonly LaunchResponse[], id: string) => all.find((one) => one.launch_id === id)

function pickMembers(id: string, { members, node }: LaunchesDeps): readonly Member[] {
  const isIts = (one: Member) => (id === node.id() ? isOfNode(one) : toLaunchId(one.plan.owner) === id)
  return members
    .peek()
    .filter(isIts)
    .toSorted((a, b) => a.plan.slot - b.plan.slot)
}

/** Whoever is told that the node has stopped finds its GPUs free. */
function toEnded(id: string, all: Launches['all'], { node, claim }: LaunchesDeps): ReadonlySignal<boolean> {
  return computed(() => {
    const isFreed = id !== node.id() || claim.value.length === 0
    return isFreed && all.value.every((one) => one.launch_id !== id || isTerminal(one.state))
  })
}

/** Of the node's own, the log of its first engine. */
function toSource({ launch_id: id }: LaunchResponse, deps: LaunchesDeps, all: Launches['all']): LogSource {
  const path = () => {
    const life = pickMembers(id, deps)[0]?.life
    return (id === deps.node.id() ? life?.logPath : (life?.strayLog ?? deps.records.get(id)?.logPath)) ?? ''
  }
  return { path, ended: computed(() => isTerminal(findIn(all.value, id)?.state ?? 'stopped')) }
}

function refuseNode(id: string): Refusal {
  return new Refusal('launch-of-node', 409, `Launch ${id} is the model of this node; only force=true stops it`, {
    remedy: 'repeat it with force, and the node serves nothing until you start it again, whatever its broker orders',
  })
}

/** Nothing is held back that could be started again. */
function refuseAbsent(model: string | undefined): Refusal {
  const [why, remedy] =
    model === undefined
      ? [
          'MODEL_NAME is not set',
          'set MODEL_NAME in the env file, or launch a model beside it: gonka-node launch MODEL',
        ]
      : [
          `INFERENCE_NODE=false leaves the start of ${model} to the broker, and it has ordered none`,
          `remove INFERENCE_NODE=false from the env file, or launch it beside: gonka-node launch ${model}`,
        ]
  return new Refusal('node-wants-nothing', 409, `the node has no model of its own to start: ${why}`, { remedy })
}
