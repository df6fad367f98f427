// The parts in boot order; the only file that knows them all. Every start returns at once (D10). Parts end in reverse: API
// nodes, PoC, the inference listener (drains), tunnels, engines, and the node listener and the socket last.
import { homedir } from 'node:os'
import { join } from 'node:path'
import { computed, type ReadonlySignal } from '@preact/signals-core'
import { startApiNodes } from './api-nodes/api-nodes.ts'
import { createPocStart } from './api-nodes/poc-start.ts'
import type { Startable } from './config/last-good.ts'
import type { Config } from './config/schema.ts'
import { startControl } from './control/control.ts'
import { createGatewayApp } from './control/gateway-app.ts'
import { createSocketRoutes } from './control/socket-routes.ts'
import { startSocket } from './control/socket.ts'
import { systemClock } from './core/clock.ts'
import { renderHostPort } from './core/host-port.ts'
import type { Log } from './core/log.ts'
import { Machine } from './core/machine.ts'
import { readBootId } from './core/proc.ts'
import type { Secrets } from './core/secrets.ts'
import { readVersion } from './core/version.ts'
import { createLives } from './fleet/lives.ts'
import { startFleet } from './fleet/start-fleet.ts'
import { startGpus } from './gpu/gpus.ts'
import { startListener } from './http/listener.ts'
import type { OnRequest } from './http/server.ts'
import { createMetadata } from './host/metadata.ts'
import { settleIdentity } from './host/settle-identity.ts'
import { type Notice, startReclaim } from './host/reclaim.ts'
import type { Systemd } from './host/systemd.ts'
import { toDevices } from './mlnode/gpu.ts'
import { createNodeApp } from './mlnode/node-app.ts'
import { readVolume } from './models/find-volume.ts'
import { startModels } from './models/models.ts'
import { startVolume } from './models/volume.ts'
import { startPoc } from './poc/poc.ts'
import { createInferenceApp } from './proxy/inference-app.ts'
import { createProxy } from './proxy/proxy.ts'
import { createNonce } from './tunnel/nonce.ts'
import { startTunnels } from './tunnel/tunnels.ts'
import {
  describeLaunched,
  isServing,
  pickBind,
  readProfile,
  startConfigPart,
  startPreRead,
  toEngineDeps,
  toLocal,
  toMemoryBack,
  tunnelFor,
} from './wiring.ts'

/** What the process around the parts needs of them. */
export type GonkaNode = {
  readonly machine: Machine
  readonly notice: ReadonlySignal<Notice | undefined>
  /** The model volume appeared, unmounted, after our start. */
  readonly needsHelper: ReadonlySignal<boolean>
  /** A changed configuration that is bad is shown while we run on; undefined: it was put right. */
  showConfig(changed: Startable | undefined): void
  /** For the watchdog: what is broken, if anything. */
  checkAlive(): string | undefined
}

export type NodeDeps = { loaded: Startable; config: Config; log: Log; secrets: Secrets; systemd: Systemd }

export async function startNode({ loaded, config, log, secrets, systemd }: NodeDeps): Promise<GonkaNode> {
  const { host, engine, listeners, registration } = config
  const { fdStore } = systemd
  const { stateDir } = host
  const machine = new Machine(log)
  const part = (name: string) => log.child({ part: name })
  const settings = startConfigPart(loaded)
  const metadata = createMetadata({ url: host.metadataUrl })
  const [who, volumeBefore, bind] = await Promise.all([
    settleIdentity({ stateDir, metadata, log: part('identity') }),
    readVolume(config.models),
    pickBind(config),
  ])

  const gpus = startGpus({ nvidiaSmi: host.nvidiaSmi, visibleGpus: host.visibleGpus, log: part('gpus') })
  const volume = startVolume({ settings: config.models, log: part('volume') })
  const models = startModels({ settings: config.models, volume: volume.state, log: part('models') })
  const lives = createLives({ ...toEngineDeps(config), gpuMemoryBack: toMemoryBack(gpus), log: part('engine') })
  const engineHome = { home: homedir(), hfHome: await models.hfHome(), cacheRoot: engine.cacheRoot }
  const inventory = gpus.inventory
  const fleet = startFleet({
    config,
    files: (ref) => models.files(ref),
    inventory,
    refreshGpus: () => gpus.refresh(),
    instanceId: who.identity.id,
    lives,
    engineHome,
    log: part('fleet'),
  })
  const { upstreams } = fleet
  const profile = readProfile(engine)
  const poc = startPoc({
    fleet,
    stateDir,
    bootId: readBootId(),
    profile,
    relayOrigin: `http://127.0.0.1:${listeners.nodePort}`,
    log: part('poc'),
  })

  const proxy = createProxy({ upstreams, log: part('proxy') })
  const nonce = createNonce()
  const nodeApp = createNodeApp({
    proxy: proxy.handle,
    nonce,
    version: readVersion(),
    fleet,
    poc,
    inventory,
    models: models.onDisk,
    launched: () => describeLaunched(fleet),
    metrics: listeners.metrics ?? 'full',
    log: part('node'),
    clock: systemClock,
  })
  const inferenceApp = createInferenceApp({ upstreams, proxy: proxy.handle, answerNonce: (path) => nonce.answer(path) })
  const gateway = createGatewayApp({
    upstreams,
    proxy: proxy.handle,
    accessKey: () => listeners.accessKey ?? '',
    build: { sha: listeners.buildSha, time: listeners.buildTime },
  })
  const open = (name: string, port: number, onRequest: OnRequest) =>
    startListener({ name, host: bind, port, fdStore, onRequest, drainMs: engine.drainTimeout, log: part(name) })
  const node = open('node', listeners.nodePort, nodeApp)
  const inference = open('inference', listeners.inferencePort, inferenceApp)
  const control = startControl({ config: listeners, fdStore, onRequest: gateway, log: part('control') })

  const local = { inference: toLocal(bind, listeners.inferencePort), node: toLocal(bind, listeners.nodePort) }
  const { clientId } = registration
  const tunnels = startTunnels({
    config: config.tunnels,
    clientId,
    instanceId: who.identity.id,
    stateDir,
    local,
    nonce,
    log: part('tunnels'),
  })
  const apiNodes = startApiNodes({
    config: registration,
    facts: {
      model: engine.model,
      get args() {
        return fleet.configuredArgs.peek() ?? []
      },
      tunnelled: config.tunnels.servers.length > 0,
      ports: { inference: listeners.inferencePort, node: listeners.nodePort },
    },
    needsEngine: engine.inferenceNode,
    stateDir,
    serving: isServing(fleet),
    tunnelFor: tunnelFor(tunnels, registration.apiNodes.length, config.tunnels.servers.length),
    inventory,
    gpuDevices: () => ({ devices: toDevices(inventory.peek()), count: toDevices(inventory.peek()).length }),
    startPoc: createPocStart(`http://${renderHostPort(local.node)}`),
    log: part('api-nodes'),
    secrets,
  })
  const reclaim = startReclaim({ metadata, log: part('reclaim') })
  const routes = createSocketRoutes({
    machine,
    fleet,
    poc,
    tunnels,
    apiNodes,
    version: readVersion(),
    startedAt: new Date(),
  })
  const socket = startSocket({ path: join(host.runDir, 'control.sock'), routes, log: part('socket') })

  const early = [settings, who.part, socket, node, control, reclaim, gpus, volume, models]
  for (const one of [...early, ...startPreRead(config, models, log), fleet, tunnels, inference, poc, apiNodes])
    machine.add(one)
  return {
    machine,
    notice: reclaim.notice,
    needsHelper: computed(() => volumeBefore.kind !== 'not-mounted' && volume.state.value.kind === 'not-mounted'),
    showConfig: (changed) => settings.show(changed),
    checkAlive: () =>
      node.status.peek().health === 'ok' && !node.server.listening ? 'the node listener is closed' : undefined,
  }
}
