// Our registration at every API node, as a part of the daemon. Nothing is ever disabled or deleted there unless `leave` says so.
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import type { RegistrationConfig } from '../config/registration.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import { parseHostPort, renderHostPort } from '../core/host-port.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createSecrets, type Secrets } from '../core/secrets.ts'
import { createStatus } from '../core/status-signal.ts'
import { watch } from '../core/watch.ts'
import type { Inventory } from '../gpu/inventory.ts'
import { createAdminClient } from './admin-client.ts'
import { toHardware } from './hardware.ts'
import { leaveAt, type LeaveOptions, type LeaveResult } from './leave.ts'
import { OptionalRoutes, type StartPoc } from './optional-routes.ts'
import { type RecordFacts, toRegisteredId } from './record.ts'
import { Registration } from './registration.ts'
import { type Remembered, startRemembered } from './remembered.ts'
import { defaultTiming, type Timing } from './timing.ts'
import { type ApiNodeView, type Gate, judgePart, pickLeftBehind, toPart } from './view.ts'

/** Of the tunnels that lead an API node to us: none are configured, not proved yet (or lost), or proved. */
export type TunnelState = 'none' | 'waiting' | 'up'

export type ApiNodesDeps = {
  config: RegistrationConfig
  facts: RecordFacts
  /** False with INFERENCE_NODE=false: registration waits for tunnels only. */
  needsEngine: boolean
  /** False while `facts` are not complete: nothing is announced that would have to be taken back. */
  factsKnown: ReadonlySignal<boolean>
  stateDir: string
  /** At least one engine serves. */
  serving: ReadonlySignal<boolean>
  /** By the place of the API node in API_NODES. */
  tunnelFor: (apiNode: number) => ReadonlySignal<TunnelState>
  inventory: ReadonlySignal<Inventory>
  /** The body of our own GET /api/v1/gpu/devices, for API nodes that want it. */
  gpuDevices: () => Record<string, unknown>
  /** createPocStart(origin of the node listener). */
  startPoc: StartPoc
  log: Log
  secrets?: Secrets
  clock?: Clock
  random?: () => number
  timing?: Timing
}

export interface ApiNodes extends Component {
  readonly views: ReadonlySignal<readonly ApiNodeView[]>
  /**
   * Disables the node at every API node (with `id`: what an earlier id left behind there), and deletes it only with `remove`.
   * Bounded per API node (default 10 s, with `remove` 20 s); never rejects. Without `id` nothing is registered any more afterwards.
   */
  leave(options?: LeaveOptions): Promise<readonly LeaveResult[]>
}

export function startApiNodes(deps: ApiNodesDeps): ApiNodes {
  return deps.config.apiNodes.length === 0 ? standAlone(deps) : startAll(deps)
}

function standAlone({ clock }: ApiNodesDeps): ApiNodes {
  const status = createStatus('', clock)
  status.set('off', 'stands alone: API_NODES is not set')
  return {
    name: 'api-nodes',
    status: status.signal,
    views: signal([]),
    leave: () => Promise.resolve([]),
    end: () => Promise.resolve(),
  }
}

function startAll(deps: ApiNodesDeps): ApiNodes {
  const { config, log, clock = systemClock } = deps
  const abort = new AbortController()
  const sending = new AbortController()
  const remembered = startRemembered(deps.stateDir, log)
  const all = startRegistrations(deps, remembered, sending.signal)
  const views = computed(() => all.map(({ registration }) => registration.view.value))
  const own = { id: toRegisteredId(config), apiNodes: config.apiNodes.map(renderHostPort) }
  const status = createStatus('starting', clock)
  const judged = computed(() =>
    judgePart(views.value, pickLeftBehind(remembered.records.value, own), remembered.problem.value),
  )
  watch(judged, ({ health, summary, problem }) => status.set(health, summary, problem), abort.signal)
  const silence = async () => {
    sending.abort()
    await Promise.all(all.map(({ ended }) => ended))
  }
  const leave = async (options: LeaveOptions = {}) => {
    const isOwn = options.id === undefined || options.id === own.id
    if (isOwn) await silence()
    const results = await leaveAll({ config, remembered, clock, own, abort: abort.signal }, options)
    if (isOwn) for (const { registration } of all) registration.markLeft()
    return results
  }
  const endOnce = async (intent: string) => {
    if (intent === 'leave') await leave()
    abort.abort()
    await Promise.race([silence().then(() => remembered.settled()), clock.wait(1_000)])
    await Promise.all(all.map(({ client }) => client.end()))
  }
  let ending: Promise<void> | undefined
  return {
    name: 'api-nodes',
    status: status.signal,
    parts: computed(() => views.value.map(toPart)),
    views,
    leave,
    end: (intent) => (ending ??= endOnce(intent).catch((error: unknown) => log.error({ err: error }, 'end failed'))),
  }
}

function startRegistrations(deps: ApiNodesDeps, remembered: Remembered, abort: AbortSignal) {
  const { config, log, clock = systemClock, random = Math.random, timing = defaultTiming } = deps
  const secrets = deps.secrets ?? createSecrets()
  const token = config.json?.['auth_token']
  if (typeof token === 'string') secrets.add(token)
  const poc = {}
  return config.apiNodes.map((apiNode, at) => {
    const client = createAdminClient(apiNode)
    const registration = new Registration({
      apiNode,
      client,
      config,
      facts: deps.facts,
      gate: createGate(deps, at),
      serving: deps.serving,
      hardware: () => toHardware(deps.inventory.peek(), config),
      optional: new OptionalRoutes({ ...deps, client, poc, timing, log }),
      remembered,
      secrets,
      log,
      clock,
      random,
      timing,
    })
    const body = (signal: AbortSignal) => remembered.ready.then(() => registration.keep(signal))
    const { ended } = startLoop(`registration at ${client.address}`, body, { log, abort, every: 1_000, clock, random })
    return { client, registration, ended }
  })
}

function createGate({ tunnelFor, serving, needsEngine, factsKnown }: ApiNodesDeps, at: number): ReadonlySignal<Gate> {
  const tunnel = tunnelFor(at)
  return computed(() => {
    if (tunnel.value === 'waiting') return 'waiting-tunnel'
    return !factsKnown.value || (needsEngine && !serving.value) ? 'waiting-engine' : 'open'
  })
}

type Leaving = {
  config: RegistrationConfig
  remembered: Remembered
  clock: Clock
  own: { id: string; apiNodes: readonly string[] }
  abort: AbortSignal
}

async function leaveAll(leaving: Leaving, options: LeaveOptions): Promise<LeaveResult[]> {
  const { config, remembered, clock, own, abort } = leaving
  await remembered.ready
  const { id = own.id, remove = false, bound = remove ? 20_000 : 10_000 } = options
  const elsewhere = remembered.records.peek().filter((one) => one.id === id && !own.apiNodes.includes(one.apiNode))
  const addresses = [...own.apiNodes, ...elsewhere.map((one) => one.apiNode)]
  const results = await Promise.all(
    addresses.map(async (address): Promise<LeaveResult> => {
      const apiNode = parseHostPort(address)
      if (typeof apiNode === 'string') return { apiNode: address, id, outcome: 'failed', why: apiNode }
      const client = createAdminClient(apiNode)
      const result = await leaveAt(client, { endpoint: config.endpoint, id }, { remove, bound, clock, abort })
      await client.end()
      return result
    }),
  )
  for (const { apiNode, outcome } of results) {
    const known = remembered.find(apiNode, id)
    if (outcome === 'deleted' || outcome === 'unknown-there') remembered.forget(apiNode, id)
    else if (outcome === 'disabled')
      remembered.put({ registeredAt: new Date(clock.wall()).toISOString(), ...known, apiNode, id, left: true })
  }
  await remembered.settled()
  return results
}
