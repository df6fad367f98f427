// From a wish and the facts of this machine to the planned engines, or to the reason why there are none. Pure.
import type { EngineConfig } from '../config/engine.ts'
import { equivalent, findDifferences, parseArgs, toDegrees } from '../engine/args.ts'
import { toConfigArgs } from '../engine/config-args.ts'
import { type ModelShape, planParallel, resolveDtype } from '../engine/parallel.ts'
import { type Detected, profiles } from '../engine/profile.ts'
import type { Problem } from '../api/status.ts'
import type { Gpu, Inventory } from '../gpu/inventory.ts'
import type { Files, ModelRef } from '../models/files.ts'
import { judgeRef } from '../models/model-ref.ts'
import type { EnginePlan, Resolved } from './plan.ts'
import { fleetProblem } from './problems.ts'
import { areSecretsSame } from './secret-digest.ts'
import type { Ask } from './wish.ts'

export type ResolveFacts = {
  config: EngineConfig
  files: Files
  inventory: Inventory
  /** Of config.json; empty where it is not known. */
  shape: ModelShape
  profile: Detected | Problem
  /** What of the engine's environment the operator sets, and the digest of its secrets. */
  env: Readonly<Record<string, string>>
  secrets?: string | undefined
}

/** What a client asked for, once it has its GPUs. */
export type LaunchWish = { owner: string; servedName: string; ask: Ask; gpus: readonly number[] }

export function resolve(ask: Ask, owner: string, facts: ResolveFacts): Resolved {
  const { config, files, inventory, profile } = facts
  if ('code' in profile) return { kind: 'blocked', problem: profile }
  const gpus = pickGpus(inventory)
  if (!gpus) return describeUnknownGpus(inventory)
  const wanted = toWantedArgs(ask, config, toAutoDtype(config, inventory))
  const nonsense = ask.args && (findBadName(ask, config) ?? findNonsense(wanted))
  if (nonsense) return { kind: 'impossible', problem: fleetProblem('impossible-order', nonsense) }
  const { tp, pp, dp } = toDegrees(wanted)
  const fit = planParallel({
    gpus: gpus.length,
    tp,
    pp,
    dp,
    shape: facts.shape,
    fallback: config.autoTpFallback,
    maxInstances: config.maxInstances,
    withoutGpu: profile.profile === 'stock' || profile.cpu,
  })
  if ('code' in fit) return { kind: 'impossible', problem: fit }
  // Only now: an order that is impossible is refused, however long its files would take.
  if (files.kind !== 'ready') return describeFiles(ask.model, files)
  const args = fit.tp === tp ? wanted : [...wanted, '--tensor-parallel-size', String(fit.tp)]
  const plans = Array.from({ length: fit.instances }, (_, slot): EnginePlan => ({
    owner,
    slot,
    gpus: gpus.slice(slot * fit.gpusPerEngine, (slot + 1) * fit.gpusPerEngine).map((gpu) => gpu.index),
    model: ask.model,
    modelPath: files.path,
    profile: profile.profile,
    python: config.pythonPath,
    hasPoc: profiles[profile.profile].hasPoc,
    args,
    env: facts.env,
    secrets: facts.secrets,
  }))
  return { kind: 'planned', plans, notes: fit.notes }
}

/** `auto` on this machine: DTYPE where it is set, else what the GPUs can do. */
export function toAutoDtype(config: EngineConfig, inventory: Inventory): string {
  const gpus = pickGpus(inventory)
  return gpus
    ? resolveDtype(
        config.dtype,
        gpus.map((gpu) => gpu.computeCapability),
      )
    : (config.dtype ?? 'auto')
}

export function toConfiguredArgs(config: EngineConfig, inventory: Inventory): readonly string[] | undefined {
  if (config.model === undefined || !pickGpus(inventory)) return undefined
  return toWantedArgs({ model: config.model }, config, toAutoDtype(config, inventory))
}

function findBadName(ask: Ask, config: EngineConfig): string | undefined {
  if (judgeRef(toModelRef(ask, config)) !== 'invalid') return undefined
  return `${JSON.stringify(ask.model)} is neither a repository of the hub nor an absolute folder`
}

/** Which files a wish needs: of its arguments `--revision` counts, and `--load-format dummy`, which reads no weights. */
export function toModelRef(ask: Ask, config: EngineConfig): ModelRef {
  const args = parseArgs(ask.args ?? config.extraArgs)
  const revision = args.get('revision')
  return {
    repo: ask.model,
    ...(revision && { revision }),
    ...(args.get('load-format') === 'dummy' && { weightless: true }),
  }
}

/**
 * Would both be the same engine? Place (slot, GPUs) and port aside. The path of the files is left out: a newer snapshot is
 * taken at the next start, but is no reason to unload a model.
 */
export function isSamePlan(one: EnginePlan, other: EnginePlan, autoDtype: string): boolean {
  return (
    one.model === other.model &&
    one.python === other.python &&
    one.profile === other.profile &&
    isSameEnv(one.env, other.env) &&
    areSecretsSame(one.secrets, other.secrets) &&
    equivalent(one.args, other.args, autoDtype)
  )
}

/** Would both wishes be the same engines? Told without any fact but DTYPE and the GPUs' abilities, where those are known. */
export function isSameAsk(one: Ask, other: Ask, config: EngineConfig, autoDtype: string): boolean {
  return (
    one.model === other.model &&
    equivalent(toWantedArgs(one, config, autoDtype), toWantedArgs(other, config, autoDtype), autoDtype)
  )
}

/** `--max-model-len 4096 instead of 8192`; what may be a secret is named without its value. */
export function describeDifferences(one: Ask, other: Ask, config: EngineConfig, autoDtype: string): readonly string[] {
  const [wanted, old] = [toWantedArgs(one, config, autoDtype), toWantedArgs(other, config, autoDtype)]
  return findDifferences(wanted, old, autoDtype).map(({ flag, one: now, other: before }) => {
    if (/key|token|secret|password/i.test(flag)) return `another --${flag}`
    const tell = (value: string) => (value.length > 60 ? `${value.slice(0, 60)}…` : value)
    if (now === undefined) return `no --${flag}`
    return `--${flag} ${tell(now)}${before === undefined ? '' : ` instead of ${tell(before)}`}`
  })
}

function isSameEnv(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(one)
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
}

/**
 * The order's own arguments, else the configuration's. An order that is silent about the split of the configured model means
 * the split that this machine is configured for. What additional_args says of dtype comes later and wins, as in vLLM.
 */
function toWantedArgs(ask: Ask, config: EngineConfig, autoDtype: string): readonly string[] {
  if (!ask.args) return toConfigArgs(config, { tp: config.tensorParallel, dtype: ask.dtype ?? autoDtype })
  const named = parseArgs(ask.args)
  const dtype = ask.dtype === undefined || ask.dtype === '' || ask.dtype === 'auto' ? autoDtype : ask.dtype
  const split = (flag: string, value: number) =>
    ask.model === config.model && value > 1 && !named.has(flag) ? [`--${flag}`, String(value)] : []
  return [
    '--dtype',
    dtype,
    ...split('tensor-parallel-size', config.tensorParallel),
    ...split('pipeline-parallel-size', config.pipelineParallel),
    ...ask.args,
  ]
}

/** What vLLM would refuse at once: a running engine is not given up for it. */
function findNonsense(args: readonly string[]): string | undefined {
  const parsed = parseArgs(args)
  for (const flag of ['tensor-parallel-size', 'pipeline-parallel-size', 'data-parallel-size']) {
    const value = parsed.get(flag) ?? '1'
    if (!/^[1-9]\d*$/.test(value)) return `--${flag} ${value} is not a number of GPUs`
  }
  const dtype = parsed.get('dtype') ?? 'auto'
  return dtypes.has(dtype) ? undefined : `--dtype ${dtype} is unknown; known are ${[...dtypes].join(', ')}`
}

const dtypes: ReadonlySet<string> = new Set(['auto', 'bfloat16', 'float16', 'float32'])

/** Those that the node's own model may have (NODE_GPUS). */
export function pickNodeGpus(inventory: Inventory, allowed: readonly number[] | undefined): Inventory {
  if (!allowed || inventory.kind !== 'known') return inventory
  return { ...inventory, gpus: inventory.gpus.filter((gpu) => allowed.includes(gpu.index)) }
}

/** Undefined while it is not known. */
function pickGpus(inventory: Inventory): readonly Gpu[] | undefined {
  if (inventory.kind === 'none') return []
  return inventory.kind === 'known' ? inventory.gpus : undefined
}

/** One engine on the GPUs that the launch has taken; the split is its own affair. */
export function resolveLaunch(
  wish: LaunchWish,
  facts: Pick<ResolveFacts, 'files' | 'profile' | 'env' | 'config'>,
): Resolved {
  const { profile, files, env, config } = facts
  if ('code' in profile) return { kind: 'blocked', problem: profile }
  if (files.kind !== 'ready') return describeFiles(wish.ask.model, files)
  const plan: EnginePlan = {
    owner: wish.owner,
    slot: 0,
    gpus: wish.gpus,
    model: wish.servedName,
    modelPath: files.path,
    profile: profile.profile,
    python: config.pythonPath,
    // A round of PoC is the node's own engines' work.
    hasPoc: false,
    args: wish.ask.args ?? [],
    env,
  }
  return { kind: 'planned', plans: [plan], notes: [] }
}

function describeUnknownGpus(inventory: Inventory): Resolved {
  return inventory.kind === 'failed'
    ? { kind: 'blocked', problem: inventory.problem }
    : { kind: 'waiting', why: 'the GPUs are being counted' }
}

export function describeFiles(model: string, files: Exclude<Files, { kind: 'ready' }>): Resolved {
  switch (files.kind) {
    case 'looking':
      return { kind: 'waiting', why: `looking for the files of ${model}` }
    case 'waiting':
      return { kind: 'waiting', why: files.why, ...(files.problem && { problem: files.problem }) }
    case 'missing':
      return { kind: 'blocked', problem: files.problem }
    case 'downloading': {
      const percent = files.bytesTotal > 0 ? Math.floor((100 * files.bytesDone) / files.bytesTotal) : 0
      return { kind: 'waiting', why: `model ${model} is downloading, ${percent} %` }
    }
  }
}
