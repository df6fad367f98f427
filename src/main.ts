// The parts in boot order; the only file that knows them all. Every start returns at once (D10). Parts end in reverse: API
// nodes, PoC, the inference listener (drains), tunnels, engines, and the node listener and the socket last.
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ReadonlySignal } from '@preact/signals-core'
import { type ApiNodes, startApiNodes } from './api-nodes/api-nodes.ts'
import { createPocStart } from './api-nodes/poc-start.ts'
import type { Startable } from './config/last-good.ts'
import type { Config } from './config/schema.ts'
import { type Control, startControl } from './control/control.ts'
import { createSocketRoutes } from './control/socket-routes.ts'
import { startSocket } from './control/socket.ts'
import { within } from './core/abort.ts'
import { systemClock } from './core/clock.ts'
import type { Log } from './core/log.ts'
import { Machine } from './core/machine.ts'
import { readBootId } from './core/proc.ts'
import type { Secrets } from './core/secrets.ts'
import { readVersion } from './core/version.ts'
import { until } from './core/watch.ts'
import type { Fleet } from './fleet/fleet.ts'
import { createLives } from './fleet/lives.ts'
import { startFleet } from './fleet/start-fleet.ts'
import { type Gpus, startGpus } from './gpu/gpus.ts'
import { type GrpcDeps, startGrpc } from './grpc/start-grpc.ts'
import { areOpened, type Door, type Doors, lastDrain } from './doors.ts'
import { createMetadata } from './host/metadata.ts'
import { settleIdentity } from './host/settle-identity.ts'
import { type Notice, startReclaim } from './host/reclaim.ts'
import type { Systemd } from './host/systemd.ts'
import { toDevices } from './mlnode/gpu.ts'
import { createNodeApp } from './mlnode/node-app.ts'
import { judgeCacheRoot } from './models/hf-home.ts'
import { type Models, startModels } from './models/models.ts'
import { startVolume } from './models/volume.ts'
import { type Poc, startPoc } from './poc/poc.ts'
import { judgeDelivery } from './poc/progress.ts'
import { isCallback } from './poc/relay.ts'
import { createInferenceApp } from './proxy/inference-app.ts'
import { startPreRead } from './pre-read.ts'
import { createProxy } from './proxy/proxy.ts'
import { warmProxy } from './proxy/warm.ts'
import { createNonce, type Nonce } from './tunnel/nonce.ts'
import { startTunnels, type Tunnels, type TunnelsDeps } from './tunnel/tunnels.ts'
import {
  areArgsKnown,
  describeLaunched,
  everyUpstream,
  isServing,
  readProfile,
  readVolumeBefore,
  startConfigPart,
  startPathsPart,
  toEngineDeps,
  toLocal,
  toMemoryBack,
  toOrigin,
  toTimesOf,
  tunnelFor,
} from './wiring.ts'

/** What the process around the parts needs of them. */
export type GonkaNode = {
  readonly machine: Machine
  /** Every listener and the socket listen, or have said why they cannot. */
  readonly settled: ReadonlySignal<boolean>
  readonly notice: ReadonlySignal<Notice | undefined>
  /** The model volume appeared, unmounted, after our start. */
  readonly needsHelper: ReadonlySignal<boolean>
  /** A changed configuration that is bad or gone is shown while we run on; undefined: it was put right. */
  showConfig(changed: Startable | undefined): void
  /** For the watchdog: what is broken, if anything. */
  checkAlive(): string | undefined
}

export type NodeDeps = {
  loaded: Startable
  config: Config
  log: Log
  secrets: Secrets
  systemd: Systemd
  /** Why `config.host.stateDir` is not the folder that was configured, where it is not. */
  stateTrouble?: string | undefined
  doors: Doors
}

type Context = NodeDeps & { instanceId: string; volumeBefore: string | undefined; part: (name: string) => Log }

export async function startNode(deps: NodeDeps): Promise<GonkaNode> {
  const { config, loaded, log } = deps
  const { node, inference } = deps.doors
  const part = (name: string) => log.child({ part: name })
  const settings = startConfigPart(loaded)
  const metadata = createMetadata({ url: config.host.metadataUrl })
  const [who, volumeBefore] = await Promise.all([
    settleIdentity({ stateDir: config.host.stateDir, trouble: deps.stateTrouble, metadata, log: part('identity') }),
    readVolumeBefore(deps),
  ])
  const context: Context = { ...deps, instanceId: who.identity.id, volumeBefore, part }

  const engines = await startEngines(context)
  const { gpus, volume, models, fleet, caches } = engines
  const poc = startMining(context, fleet)
  const nonce = createNonce()
  answerDoors(context, { ...engines, poc, nonce })
  const control = startControlSurfaces(context, fleet, poc)
  const grpc = startGrpc(toGrpc(context, fleet, control))
  const tunnels = startTunnels(toTunnels(context, nonce))
  const apiNodes = startRegistration(context, { ...engines, tunnels })
  const reclaim = startReclaim({ metadata, log: part('reclaim') })

  const machine = new Machine(log, ['fleet', 'poc', 'api-nodes'])
  const about = { version: readVersion(), startedAt: new Date() }
  const routes = {
    ...createSocketRoutes({ machine, fleet, poc, tunnels, apiNodes, ...about }),
    ...control.socketRoutes,
  }
  const socket = startSocket({ path: join(config.host.runDir, 'control.sock'), routes, log: part('socket') })
  const paths = startPathsPart({ config, given: loaded.given, volume: volume.state, caches, models }, part('paths'))
  const early = [settings, who.part, socket, node, ...control.parts, reclaim, gpus, volume, paths, models]
  const preRead = startPreRead(config, { models, fleet, log })
  const late = [preRead, fleet.launches, fleet, tunnels, inference, grpc, poc, apiNodes]
  for (const one of [...early, ...late]) machine.add(one)
  const settled = areOpened([socket, node, inference, control.listener, grpc])
  until(settled, Boolean, within(60_000)).then(
    () => warmProxy(),
    () => {},
  )
  return {
    machine,
    settled,
    notice: reclaim.notice,
    needsHelper: volume.mountWanted,
    showConfig: (changed) => settings.show(changed),
    checkAlive: () => (isClosed(node) ? 'the node listener is closed' : undefined),
  }
}

/** GPUs, model files, and the engines that need both. */
async function startEngines({ config, instanceId, volumeBefore, part }: Context) {
  const gpus = startGpus({ nvidiaSmi: config.host.nvidiaSmi, visibleGpus: config.host.visibleGpus, log: part('gpus') })
  const volume = startVolume({ settings: config.models, before: volumeBefore, log: part('volume') })
  const models = startModels({ settings: config.models, volume: volume.state, log: part('models') })
  const lives = createLives({
    ...toEngineDeps(config),
    timesOf: toTimesOf(config),
    gpuMemoryBack: toMemoryBack(gpus),
    log: part('engine'),
  })
  const hfHome = await models.hfHome()
  const caches = { hfHome, cacheRoot: judgeCacheRoot({ ...config.models, ...config.engine, hfHome }) }
  const fleet = startFleet({
    config,
    files: (ref) => models.files(ref),
    keepFiles: (refs) => models.keepOnly(refs),
    inventory: gpus.inventory,
    refreshGpus: () => gpus.refresh(),
    gpuProcesses: () => gpus.processes(),
    instanceId,
    lives,
    engineHome: { home: homedir(), ...caches },
    log: part('fleet'),
  })
  return { gpus, volume, models, fleet, caches }
}

function startMining({ config, doors: { bind }, part }: Context, fleet: Fleet): Poc {
  const { registration, listeners, host, engine } = config
  return startPoc({
    fleet,
    stateDir: host.stateDir,
    bootId: readBootId(),
    profile: readProfile(engine),
    pace: { delivery: judgeDelivery(config.engineEnv['POC_CALLBACK_INTERVAL_SEC']) },
    relayOrigin: registration.pocCallbackRelay
      ? (config.poc.selfUrl ?? toOrigin(bind, listeners.nodePort)).replace(/\/$/, '')
      : undefined,
    relayTls: { cert: config.poc.mtlsClientCert, key: config.poc.mtlsClientKey, ca: config.poc.mtlsServerCa },
    log: part('poc'),
  })
}

type Served = { gpus: Gpus; models: Models; fleet: Fleet; poc: Poc; nonce: Nonce }

function answerDoors({ config, doors, part }: Context, { gpus, models, fleet, poc, nonce }: Served): void {
  const { upstreams, settled } = fleet
  const proxy = createProxy({ upstreams, log: part('proxy') }).handle
  const nodeApp = createNodeApp({
    proxy,
    nonce,
    version: readVersion(),
    fleet,
    poc,
    inventory: gpus.inventory,
    models: models.onDisk,
    launched: () => describeLaunched(fleet),
    metrics: config.listeners.metrics ?? 'full',
    log: part('node'),
    clock: systemClock,
  })
  const inferenceApp = createInferenceApp({ upstreams, proxy, answerNonce: (path) => nonce.answer(path) })
  const isProof = (url: string) => nonce.answer(url) !== undefined
  doors.node.open(settled, nodeApp, (url) => isProof(url) || isCallback(url))
  doors.inference.open(settled, inferenceApp, isProof)
}

function startControlSurfaces({ config, systemd, secrets, part }: Context, fleet: Fleet, { isMining }: Poc): Control {
  const { launches, settled } = fleet
  const { fdStore } = systemd
  const upstreams = everyUpstream(fleet)
  return startControl({ config, launches, upstreams, isMining, settled, fdStore, secrets, drainMs: lastDrain, part })
}

function toGrpc({ config, systemd, part }: Context, { launches, settled }: Fleet, { access, tls }: Control): GrpcDeps {
  const { fdStore } = systemd
  const drainMs = config.engine.drainTimeout
  return { config, launches, access, tls: tls?.material, settled, fdStore, drainMs, log: part('grpc') }
}

function toTunnels({ config, doors: { bind }, instanceId, part }: Context, nonce: Nonce): TunnelsDeps {
  const { inferencePort, nodePort } = config.listeners
  return {
    config: config.tunnels,
    clientId: config.registration.clientId,
    instanceId,
    stateDir: config.host.stateDir,
    local: { inference: toLocal(bind, inferencePort), node: toLocal(bind, nodePort) },
    nonce,
    log: part('tunnels'),
  }
}

type Announced = { gpus: Gpus; fleet: Fleet; tunnels: Tunnels }

function startRegistration(
  { config, doors: { bind }, secrets, part }: Context,
  { gpus, fleet, tunnels }: Announced,
): ApiNodes {
  const { registration, engine, listeners, host } = config
  const { inventory } = gpus
  const servers = config.tunnels.servers.length
  const devices = () => toDevices(inventory.peek())
  return startApiNodes({
    config: registration,
    facts: {
      model: engine.model,
      // As this machine resolves them.
      get args() {
        return fleet.configuredArgs.peek() ?? []
      },
      tunnelled: servers > 0,
      ports: { inference: listeners.inferencePort, node: listeners.nodePort },
    },
    needsEngine: engine.inferenceNode,
    factsKnown: areArgsKnown(config, fleet),
    stateDir: host.stateDir,
    serving: isServing(fleet),
    tunnelFor: tunnelFor(tunnels, registration.apiNodes.length, servers),
    inventory,
    gpuDevices: () => ({ devices: devices(), count: devices().length }),
    startPoc: createPocStart(toOrigin(bind, listeners.nodePort)),
    log: part('api-nodes'),
    secrets,
  })
}

const isClosed = (door: Door) => door.status.peek().health === 'ok' && !door.server.listening
