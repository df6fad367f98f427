// Reads the facts that a wish is judged by (venv, model files, GPUs) and renders a plan into what is launched.
import { dirname } from 'node:path'
import type { ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { buildArgv } from '../engine/argv.ts'
import { buildEnvironment, deviceNames } from '../engine/environment.ts'
import { readModelShape } from '../engine/model-shape.ts'
import type { ModelShape } from '../engine/parallel.ts'
import { type Detected, detectProfile } from '../engine/profile.ts'
import { isUnrecorded } from '../engine/spec.ts'
import type { Inventory } from '../gpu/inventory.ts'
import type { Files, ModelRef } from '../models/files.ts'
import type { EngineSpec } from './lives.ts'
import type { EnginePlan, Resolved } from './plan.ts'
import {
  describeDifferences,
  isSameAsk,
  isSamePlan,
  type LaunchWish,
  pickNodeGpus,
  resolve,
  resolveLaunch,
  toAutoDtype,
  toConfiguredArgs,
  toModelRef,
} from './resolve.ts'
import { createSecretDigest } from './secret-digest.ts'
import type { Ask } from './wish.ts'

/** How long what was read from the venv and from config.json is believed: both may be replaced while we run, ms. */
const believed = 10_000

export type EngineHome = {
  /** Home of the service's user. */
  home: string
  hfHome?: string | undefined
  cacheRoot?: string | undefined
  /** http_proxy and friends, for the hub alone. */
  proxies?: Readonly<Record<string, string>>
}

export type PlannerDeps = {
  config: Config
  files: (model: ModelRef) => ReadonlySignal<Files>
  /** Nobody needs the files of other models any more. */
  keepFiles?: (models: readonly ModelRef[]) => void
  inventory: ReadonlySignal<Inventory>
  engineHome: EngineHome
  clock: Clock
}

export type Planner = {
  resolve: (ask: Ask, owner: string) => Promise<Resolved>
  resolveLaunch: (wish: LaunchWish) => Promise<Resolved>
  /** @returns also what of the arguments could not be passed on, in words */
  render: (plan: EnginePlan, port: number) => Promise<{ spec: EngineSpec; notes: readonly string[] } | Problem>
  /** The plan that a living engine was launched by. */
  recall: (spec: EngineSpec) => EnginePlan
  isSame: (one: EnginePlan, other: EnginePlan) => boolean
  isSameAsk: (one: Ask, other: Ask) => Promise<boolean>
  /** The arguments in which the two differ, in words. */
  differences: (one: Ask, other: Ask) => readonly string[]
  /** The arguments of the configuration before its files are known; undefined while the GPUs are not. */
  configuredArgs: () => readonly string[] | undefined
  /** The files of that wish; the loop wakes with them. */
  filesOf: (ask: Ask) => ReadonlySignal<Files>
  /** Lets go of the files of every other wish. */
  keepFilesOf: (asks: readonly Ask[]) => void
}

export function createPlanner(deps: PlannerDeps): Planner {
  const { config, clock, inventory } = deps
  const profiles = believe(clock, (python: string) => detectProfile(python, config.engine.profile))
  const shapes = believe(clock, readModelShape)
  // Hundreds of launches may wait, and all are looked at in each pass: the arguments of each are parsed once.
  const refs = new WeakMap<Ask, ModelRef>()
  const toRef = (ask: Ask): ModelRef => {
    const ref = refs.get(ask) ?? toModelRef(ask, config.engine)
    refs.set(ask, ref)
    return ref
  }
  const filesOf = (ask: Ask) => deps.files(toRef(ask))
  const nodeGpus = () => pickNodeGpus(inventory.peek(), config.engine.nodeGpus)
  const autoDtype = () => toAutoDtype(config.engine, nodeGpus())
  const isSame = (one: EnginePlan, other: EnginePlan) => isSamePlan(one, other, autoDtype())
  const readEnv = createEnvReader(deps)
  const resolveAsk = async (ask: Ask, owner: string): Promise<Resolved> => {
    const profile = await profiles(config.engine.pythonPath)
    const files = filesOf(ask).peek()
    const shape: ModelShape = files.kind === 'ready' ? await shapes(files.path) : {}
    const found = { profile, files, shape, inventory: nodeGpus(), config: config.engine }
    return resolve(ask, owner, { ...found, ...(await readEnv(profile)) })
  }
  return {
    filesOf,
    keepFilesOf: (asks) => deps.keepFiles?.(asks.map(toRef)),
    isSame,
    resolve: resolveAsk,
    async resolveLaunch(wish) {
      const profile = await profiles(config.engine.pythonPath)
      const files = filesOf(wish.ask).peek()
      return resolveLaunch(wish, { profile, files, config: config.engine, ...(await readEnv(profile)) })
    },
    configuredArgs: () => toConfiguredArgs(config.engine, nodeGpus()),
    differences: (one, other) => describeDifferences(one, other, config.engine, autoDtype()),
    async isSameAsk(one, other) {
      if (isSameAsk(one, other, config.engine, autoDtype())) return true
      // Another spelling of the same split may only show when heads and GPUs are known.
      const [left, right] = [await resolveAsk(one, 'broker'), await resolveAsk(other, 'broker')]
      return left.kind === 'planned' && right.kind === 'planned' && isSamePlans(left.plans, right.plans, isSame)
    },
    async render(plan, port) {
      const detected = await profiles(plan.python)
      if ('code' in detected) return detected
      const { argv, notes } = buildArgv({
        profile: plan.profile,
        version: detected.version,
        module: config.engine.module,
        modelPath: plan.modelPath,
        servedName: plan.model,
        port,
        args: plan.args,
      })
      // A build for the CPU has no GPU to see, whatever a launch was given: its threads are its own affair.
      const gpus = detected.cpu ? [] : plan.gpus
      return { spec: { ...plan, port, argv, env: renderEnv(deps, detected, gpus) }, notes }
    },
    recall: ({ port: _port, argv: _argv, ...plan }) => ({ ...plan, env: pickOperatorEnv(plan.env, config.engineEnv) }),
  }
}

type IsSame = (one: EnginePlan, other: EnginePlan) => boolean

function isSamePlans(one: readonly EnginePlan[], other: readonly EnginePlan[], isSame: IsSame): boolean {
  return one.length === other.length && one.every((plan, at) => other[at] !== undefined && isSame(plan, other[at]))
}

/** What of an engine's environment decides whether it is the same engine. */
function createEnvReader(deps: PlannerDeps) {
  const { host, engineEnv } = deps.config
  const digest = createSecretDigest(host.stateDir)
  return async (profile: Detected | Problem) => {
    const all = 'code' in profile ? {} : renderEnv(deps, profile, [])
    return { env: pickOperatorEnv(all, engineEnv), secrets: await digest(pickSecrets(all, engineEnv)) }
  }
}

/**
 * What the operator sets, told from what the daemon adds: another version of the daemon may add other things, and that is no
 * reason to unload a model. What the daemon decides by the GPUs is told by the plan's GPUs already.
 */
function pickOperatorEnv(env: Readonly<Record<string, string>>, engineEnv: Readonly<Record<string, string>>) {
  const isTheirs = (name: string) => Object.hasOwn(engineEnv, name) || /^(POC|NCCL)_/.test(name)
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => isTheirs(name) && !deviceNames.has(name) && !isUnrecorded(name)),
  )
}

const pickSecrets = (env: Readonly<Record<string, string>>, engineEnv: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(env).filter(([name]) => Object.hasOwn(engineEnv, name) && isUnrecorded(name)))

function renderEnv({ config, engineHome }: PlannerDeps, detected: Detected, gpus: readonly number[]) {
  return buildEnvironment({
    ...detected,
    gpus,
    // The fleet launches only what models/ has found complete.
    modelIsLocal: true,
    hfHome: engineHome.hfHome ?? config.models.hfHome,
    cacheRoot: engineHome.cacheRoot ?? config.engine.cacheRoot,
    hfEndpoint: config.models.endpoint,
    loggingLevel: config.engine.loggingLevel,
    ompNumThreads: config.engine.ompNumThreads,
    home: engineHome.home,
    pythonFolder: dirname(config.engine.pythonPath),
    engineEnv: config.engineEnv,
    ...(engineHome.proxies && { proxies: engineHome.proxies }),
  })
}

/** Asks again when the last answer is older than `believed`; concurrent askers share one question. */
function believe<T>(clock: Clock, read: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const known = new Map<string, { at: number; answer: Promise<T> }>()
  return (key) => {
    const found = known.get(key)
    if (found && clock.now() - found.at < believed) return found.answer
    if (known.size > 16) known.clear()
    const answer = read(key)
    known.set(key, { at: clock.now(), answer })
    return answer
  }
}
