// `gonka-node launch`: asks for a launch; with --wait it stays until the model serves.
import type { LaunchResponse } from '../api/launches.ts'
import { Wrong, parseIndices } from '../config/fields.ts'
import { countOf, secondsOf, textOf } from './flags.ts'
import { renderProgress, toShortId } from './render-launch.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { type Invocation, UsageError, exits, type Verb } from './verb.ts'
import { waitForLaunch } from './wait-for-launch.ts'

export const launch: Verb = {
  usage:
    'MODEL [--gpus 0,1 | --gpu-count N] [--task embed] [--set NAME=value]… [--name NAME] [--queue] [--min-free-mib N] [--ttl 1h] [--idle-stop 30m] [--wait] [--timeout 20m] [--node] [--json] [--socket PATH]',
  summary: 'loads a model on GPUs of its own, beside what the node serves',
  help: `MODEL             a repository of the model hub, or a folder
--gpus 0,1        these GPUs, also as 0-3 (without it and without --gpu-count: all)
--gpu-count N     N free ones, which the daemon picks
--min-free-mib N  each picked GPU must have so much free memory
--task embed      embeddings instead of generating
--set NAME=value  an argument of vLLM, several times: --set max_model_len=4096 --set enforce_eager=true
--name NAME       to be used instead of the id
--queue           waits for GPUs that are in use instead of failing
--ttl 1h          stopped so long after it became ready
--idle-stop 30m   stopped after so long without a request
-w, --wait        until it serves; stage and progress are shown on stderr. Ctrl-C leaves it loading and says so
--timeout 20m     for --wait (default 60m); after it the launch goes on
--node            the node's own model again, after \`gonka-node stop --force\`; without MODEL
${socketHelp}

Exit status 1 when it is refused, or with --wait when it failed or did not serve in time; 130 after Ctrl-C.`,
  options: {
    ...socketOption,
    gpus: { type: 'string' },
    'gpu-count': { type: 'string' },
    'min-free-mib': { type: 'string' },
    task: { type: 'string' },
    set: { type: 'string', multiple: true },
    name: { type: 'string' },
    queue: { type: 'boolean' },
    ttl: { type: 'string' },
    'idle-stop': { type: 'string' },
    wait: { type: 'boolean', short: 'w' },
    timeout: { type: 'string' },
    node: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  positionals: 1,
  async run(call) {
    const { flags, out } = call
    const socket = pickSocket(flags)
    const timeout = secondsOf(flags, 'timeout') ?? 3600
    const wish = parseWish(call)
    const made = await (wish === 'node'
      ? ask<LaunchResponse>(socket, 'POST /launches/node')
      : ask<LaunchResponse>(socket, 'POST /launches', wish))
    if (flags['wait']) return waitForLaunch({ socket, id: made.launch_id, timeout: timeout * 1000, call })
    out.write(flags['json'] ? `${JSON.stringify(made)}\n` : render(made))
    return exits.ok
  },
}

function render(made: LaunchResponse): string {
  const progress = renderProgress(made)
  const gpus = made.gpu_ids.length === 0 ? '' : ` on GPU ${made.gpu_ids.join(', ')}`
  return `${made.launch_id}\n${made.model} is ${made.state}${gpus}${progress && `: ${progress}`}
\`gonka-node logs ${toShortId(made.launch_id)} -f\` follows its log, \`gonka-node launches\` lists all\n`
}

/** A LaunchRequest as far as it is given: the daemon checks it. */
function parseWish({ positionals: [model], flags }: Invocation): Readonly<Record<string, unknown>> | 'node' {
  if (flags['node']) {
    const others = ['gpus', 'gpu-count', 'min-free-mib', 'task', 'set', 'name', 'queue', 'ttl', 'idle-stop']
    const extra = model ?? others.find((name) => flags[name] !== undefined)
    if (extra !== undefined) throw new UsageError(`--node starts what the configuration says; leave out "${extra}"`)
    return 'node'
  }
  if (model === undefined) throw new UsageError('needs a model, or --node')
  const task = textOf(flags, 'task')
  if (task !== undefined && task !== 'generate' && task !== 'embed')
    throw new UsageError(`--task "${task}" is unknown; write generate or embed`)
  if (flags['gpus'] !== undefined && flags['gpu-count'] !== undefined)
    throw new UsageError('--gpus and --gpu-count exclude each other')
  const { name, queue } = flags
  const wish: Record<string, unknown> = {
    model,
    gpu_ids: parseGpus(textOf(flags, 'gpus')),
    gpu_count: countOf(flags, 'gpu-count'),
    min_free_mib: countOf(flags, 'min-free-mib'),
    task,
    extra_kwargs: parseArguments(flags['set']),
    name,
    queue,
    ttl_seconds: secondsOf(flags, 'ttl'),
    idle_stop_seconds: secondsOf(flags, 'idle-stop'),
  }
  return Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== undefined))
}

function parseGpus(text: string | undefined): number[] | undefined {
  const found = text === undefined ? undefined : parseIndices(text)
  if (found instanceof Wrong) throw new UsageError(`--gpus ${found.message}`)
  return found
}

/** `max_model_len=4096` is a number, `enforce_eager=true` a flag, `rope_scaling={"factor":2}` an object, all else a text. */
function parseArguments(given: unknown): Record<string, unknown> | undefined {
  if (!Array.isArray(given)) return undefined
  const pairs = given.map((one: string) => {
    const found = /^([A-Za-z_][\w-]*)=(.*)$/s.exec(one)
    if (!found?.[1]) throw new UsageError(`--set "${one}" is not NAME=value`)
    return [found[1].replaceAll('-', '_'), parseValue(found[2] ?? '')] as const
  })
  return Object.fromEntries(pairs)
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
