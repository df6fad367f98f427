// From the arguments that are wanted to the command line that this vLLM accepts: flags that the daemon owns are ours, flags
// that this generation does not know are translated or left out, since an unknown flag ends vLLM with 2 (facts/vllm.md 2.2).
import type { ProfileName } from '../config/engine.ts'
import { type Arg, ownedFlags, splitArgs } from './args.ts'
import { isAtLeast, profiles } from './profile.ts'

export type ArgvPlan = {
  profile: ProfileName
  /** Of vLLM. */
  version: string
  /** MLNODE_VLLM_MODULE, instead of the profile's. */
  module?: string | undefined
  /** A folder, or a repository name. */
  modelPath: string
  servedName: string
  port: number
  /** What is wanted, in any spelling (config-args.ts, or an order's). */
  args: readonly string[]
}

export type Argv = {
  /** After the python path. */
  argv: string[]
  /** What was wanted and is not passed on, or is passed on otherwise, in words. */
  notes: string[]
}

type Rule = {
  flag: string
  /** Accepted below this version. */
  until?: string
  /** Accepted from this version on. */
  since?: string
  instead?: (values: readonly string[]) => string[]
}

const drop = (flags: string, bound: { until?: string; since?: string }): Rule[] =>
  flags.split(' ').map((flag) => ({ flag, ...bound }))

const tasks: Readonly<Record<string, string[]>> = {
  generate: ['--runner', 'generate'],
  embed: ['--runner', 'pooling', '--convert', 'embed'],
  embedding: ['--runner', 'pooling', '--convert', 'embed'],
  classify: ['--runner', 'pooling', '--convert', 'classify'],
  reward: ['--runner', 'pooling', '--convert', 'reward'],
}

/** Where the facts give a month alone, the earlier release counts: a dropped tuning flag costs less than an exit 2. */
const rules: readonly Rule[] = [
  ...drop('disable-log-requests', { until: '0.12' }),
  ...drop('enable-log-requests', { since: '0.10.1' }),
  ...drop('device num-scheduler-steps preemption-mode scheduler-delay-factor enable-prompt-adapter', { until: '0.10' }),
  ...drop('tokenizer-pool-size tokenizer-pool-type tokenizer-pool-extra-config', { until: '0.10' }),
  ...drop('disable-frontend-multiprocessing max-seq-len-to-capture', { until: '0.11' }),
  ...drop('enable-reasoning', { until: '0.10' }),
  ...drop('swap-space', { until: '0.17' }),
  ...drop('calculate-kv-scales override-pooler-config', { until: '0.15' }),
  ...drop('shutdown-timeout', { since: '0.18' }),
  ...drop('kv-cache-memory-bytes safetensors-load-strategy', { since: '0.11' }),
  // Older ones read VLLM_ATTENTION_BACKEND instead, which goes on to them untouched.
  ...drop('attention-backend', { since: '0.13' }),
  ...drop('max-cudagraph-capture-size', { since: '0.12' }),
  { flag: 'rope-scaling', until: '0.12', instead: ropeOverride },
  {
    flag: 'rope-theta',
    until: '0.12',
    instead: ([theta = '']) => ['--hf-overrides.rope_parameters.rope_theta', theta],
  },
  {
    flag: 'guided-decoding-backend',
    until: '0.12',
    instead: ([backend = 'auto']) => ['--structured-outputs-config.backend', backend],
  },
  { flag: 'task', until: '0.13', instead: ([task = '']) => tasks[task] ?? [] },
]

export function buildArgv(plan: ArgvPlan): Argv {
  const profile = profiles[plan.profile]
  const notes: string[] = []
  const wanted = splitArgs(plan.args).flatMap((arg) => acceptArg(arg, plan.version, notes))
  const argv = [
    '-m',
    plan.module ?? profile.module,
    '--model',
    plan.modelPath,
    '--served-model-name',
    plan.servedName,
    '--host',
    '127.0.0.1',
    '--port',
    String(plan.port),
    ...wanted,
    ...profile.forcedArgs,
  ]
  return { argv, notes }
}

function acceptArg(arg: Arg, version: string, notes: string[]): string[] {
  const name = arg.flag.split('.')[0] ?? ''
  const written = renderArg(arg)
  if (ownedFlags.has(name)) {
    notes.push(`--${name} is decided by the daemon and was left out`)
    return []
  }
  const rule = rules.find((one) => one.flag === name && !isAccepted(one, version))
  if (!rule) return written
  const instead = rule.instead?.(arg.values) ?? []
  notes.push(
    instead.length > 0
      ? `--${name} is unknown to vLLM ${version}; passed as ${instead.join(' ')}`
      : `--${name} is unknown to vLLM ${version} and was left out`,
  )
  return instead
}

const isAccepted = ({ since, until }: Rule, version: string): boolean =>
  (since === undefined || isAtLeast(version, since)) && (until === undefined || !isAtLeast(version, until))

/** One spelling for all: dashes, the value as a word of its own. `=` where the value begins with a dash. */
function renderArg({ flag, values, off }: Arg): string[] {
  if (off) return [`--no-${flag}`, ...values.slice(1)]
  if (values.length === 1 && values[0] === 'false' && isSwitch(flag)) return [`--no-${flag}`]
  if (values.length === 1 && values[0]?.startsWith('-')) return [`--${flag}=${values[0]}`]
  return [`--${flag}`, ...values]
}

const isSwitch = (flag: string): boolean =>
  /^(enable|disable|enforce|trust|use|skip|return|allow|async|calculate)-/.test(flag)

/** Each key by its own dotted argument, so that it joins --hf-overrides given elsewhere. */
function ropeOverride([text = '']: readonly string[]): string[] {
  try {
    const value = JSON.parse(text) as Record<string, unknown>
    return Object.entries(value).flatMap(([key, one]) => [
      `--hf-overrides.rope_parameters.${key}`,
      typeof one === 'string' ? one : JSON.stringify(one),
    ])
  } catch {
    return []
  }
}
