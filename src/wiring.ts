// Small adapters between parts that must not know each other; used by main.ts alone.
import { join } from 'node:path'
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import type { ApiNodesDeps, TunnelState } from './api-nodes/api-nodes.ts'
import { configPart } from './config/config-part.ts'
import type { EngineConfig, ProfileName } from './config/engine.ts'
import type { Given } from './config/given.ts'
import { problemsOfNext, type Startable } from './config/last-good.ts'
import { listWritten } from './config/named-paths.ts'
import type { Config } from './config/schema.ts'
import type { Component } from './core/component.ts'
import { renderHostPort } from './core/host-port.ts'
import type { Log } from './core/log.ts'
import { parseArgs } from './engine/args.ts'
import type { EngineDeps } from './engine/life.ts'
import { detectProfile } from './engine/profile.ts'
import type { Upstream } from './engine/upstream.ts'
import type { Fleet } from './fleet/fleet.ts'
import { toLaunchId } from './fleet/launch-record.ts'
import type { Gpus } from './gpu/gpus.ts'
import { startPaths } from './host/paths-part.ts'
import { askOnce, forgetAsked, readPrepared } from './host/prepared.ts'
import { spareName } from './host/spare-state.ts'
import type { Systemd } from './host/systemd.ts'
import type { Launched } from './mlnode/deps.ts'
import type { VolumeState } from './models/find-volume.ts'
import type { Models } from './models/models.ts'
import { readNamedFiles } from './pre-read.ts'
import { judgePaired, pairServers } from './tunnel/pairing.ts'
import type { Tunnels } from './tunnel/tunnels.ts'

/** The configuration as a part: `show` puts a changed one that is bad or gone on it while we run on. */
export function startConfigPart(loaded: Startable): Component & { show(changed: Startable | undefined): void } {
  const shown = signal(loaded)
  const startedAt = new Date()
  return {
    name: 'config',
    status: computed(() => configPart(shown.value).status.value),
    show(changed) {
      const isBad = (changed?.kind === 'bad' || changed?.kind === 'missing') && 'config' in loaded
      const problems = isBad ? problemsOfNext(changed) : []
      shown.value = isBad ? { ...loaded, kind: 'last-good', problems, savedAt: startedAt } : loaded
    },
    end: async () => {},
  }
}

/** As the privileged step found it; only systemd runs one before each start. */
export async function readVolumeBefore(deps: VolumeAsker): Promise<string | undefined> {
  const { config, loaded, systemd } = deps
  const { runDir } = config.host
  const found = systemd.active ? (await readPrepared(runDir))?.volume : undefined
  if (found !== 'none' || config.models.volume === undefined) {
    await forgetAsked(runDir, 'mount')
    return found
  }
  // It knew of no volume. A step that never learns of it is not asked again and again.
  return (await askOnce(runDir, 'mount', loaded.fingerprint)) ? found : undefined
}

type VolumeAsker = { config: Config; loaded: Startable; systemd: Systemd }

type PathFacts = {
  config: Config
  given: Given
  caches: { hfHome: string; cacheRoot: string | undefined }
  volume: ReadonlySignal<VolumeState>
  models: Models
}

/**
 * What lies on a volume that is not mounted is that volume's problem; and many a volume comes with its model for everybody to
 * read: HF_HOME is written only where the model is to be downloaded, or brings code along.
 */
export function startPathsPart({ config, given, caches, volume, models }: PathFacts, log: Log): Component {
  const { engine } = config
  const written = listWritten(config, given, caches)
  const files = readNamedFiles(engine, models)
  const facts = computed(() => ({
    isMounted: ['none', 'mounted'].includes(volume.value.kind),
    writesHfHome: engine.trustRemoteCode || ['missing', 'downloading'].includes(files?.value.kind ?? ''),
  }))
  const isWritten = ({ variable, path }: (typeof written)[number]) => {
    const { isMounted, writesHfHome } = facts.peek()
    if (!isMounted && path.startsWith(`${config.models.volumeMount}/`)) return false
    return variable !== 'HF_HOME' || writesHfHome
  }
  const wake = computed(() => JSON.stringify(facts.value))
  return startPaths({ paths: () => written.filter(isWritten), wake, log })
}

/** How this machine reaches its own listener. */
export function toLocal(bind: string, port: number): { host: string; port: number } {
  return { host: bind === '::' || bind === '0.0.0.0' ? '127.0.0.1' : bind, port }
}

export function toOrigin(bind: string, port: number): string {
  return `http://${renderHostPort(toLocal(bind, port))}`
}

export function toEngineDeps({
  host,
  engine,
}: Config): Pick<EngineDeps, 'livesFolder' | 'spareFolder' | 'logDir' | 'keptLogs' | 'times'> {
  const spare = join(host.runDir, spareName)
  return {
    livesFolder: join(host.stateDir, 'engines'),
    spareFolder: spare === host.stateDir ? undefined : join(spare, 'engines'),
    logDir: host.logDir,
    keptLogs: join(host.stateDir, 'launches'),
    times: {
      start: engine.startTimeout,
      stop: engine.stopTimeout,
      drain: engine.drainTimeout,
      hangGrace: engine.hangGrace,
    },
  }
}

/** Whoever stops a launch waits for it: drained, asked and killed within VLLM_STOP_TIMEOUT_SECONDS. */
export function toTimesOf({ engine, launches }: Config): NonNullable<EngineDeps['timesOf']> {
  const { startTimeout: start, stopTimeout: stop, drainTimeout: drain, hangGrace } = engine
  const third = Math.floor(launches.stopTimeout / 3)
  return (owner) =>
    toLaunchId(owner) === undefined
      ? { start, stop, drain, hangGrace }
      : { start, stop: third, drain: Math.min(drain, third), hangGrace }
}

export function toMemoryBack(gpus: Gpus): NonNullable<EngineDeps['gpuMemoryBack']> {
  return async (indices, how) => {
    const found = await gpus.memoryBack(indices, how)
    if (found.kind === 'held') throw new Error(found.evidence)
    return found.kind === 'back' && found.others ? 'others' : 'free'
  }
}

/** Adopted engines serve before this machine's arguments are known; REGISTRATION_JSON, and a node without a model, has none. */
export function areArgsKnown({ registration, engine }: Config, fleet: Fleet): ReadonlySignal<boolean> {
  return computed(() => Boolean(registration.json) || !engine.model || fleet.configuredArgs.value !== undefined)
}

/** The profile decides the spelling of PoC calls; unknown until the files were read. */
export function readProfile({ pythonPath, profile }: EngineConfig): () => ProfileName | undefined {
  let found = profile
  void detectProfile(pythonPath, profile).then((detected) => {
    if ('profile' in detected) found = detected.profile
  })
  return () => found
}

export function describeLaunched(fleet: Fleet): Launched | undefined {
  const args = fleet.launchedArgs.peek()
  return args && { args, dtype: parseArgs(args).get('dtype') ?? 'auto' }
}

/** The engines of the node and of every launch. */
export function everyUpstream({ upstreams, launches }: Fleet): ReadonlySignal<readonly Upstream[]> {
  return computed(() => {
    const ofLaunches = launches.all.value.flatMap(({ launch_id }) => launches.upstreams(launch_id))
    return [...new Set([...upstreams.value, ...ofLaunches])]
  })
}

/** An API node waits for its own tunnels only. */
export function tunnelFor(tunnels: Tunnels, apiNodes: number, servers: number): ApiNodesDeps['tunnelFor'] {
  const pairs = pairServers(apiNodes, servers)
  return (apiNode) =>
    computed((): TunnelState => (servers === 0 ? 'none' : judgePaired(tunnels.tunnels.value, pairs[apiNode] ?? [])))
}

export function isServing(fleet: Fleet): ReadonlySignal<boolean> {
  return computed(() => fleet.upstreams.value.some(({ state }) => state.value === 'serving'))
}
