// Prometheus text: what of an engine's metrics passes, how it is relabelled, and how families are written. Pure.
import type { Planned } from '../fleet/fleet.ts'
import type { Launched } from './deps.ts'

export type Series = {
  family: string
  /** With _bucket, _sum or _count where the family is a histogram. */
  name: string
  type: string
  labels: Record<string, string>
  value: string
}

/** Schema v1 of the network's metrics. */
const allowed = new Set(
  `num_requests_waiting num_requests_running kv_cache_usage_perc num_preemptions_total time_to_first_token_seconds
  request_queue_time_seconds prompt_tokens_total generation_tokens_total request_success_total
  inter_token_latency_seconds e2e_request_latency_seconds prefix_cache_queries_total prefix_cache_hits_total
  request_prompt_tokens request_generation_tokens iteration_tokens_total cache_config_info`
    .split(/\s+/)
    .map((name) => `vllm:${name}`),
)
/** Labels that could tell a path, host or port. */
const hidden = new Set(['engine', 'hostname', 'host', 'ip', 'port', 'provider', 'instance'])
const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

export function relabelFamilies(text: string, to: { replica: number; model: string }): Series[] {
  const types = new Map<string, string>()
  return text.split('\n').flatMap((line) => {
    const typed = /^# TYPE (\S+) (\S+)/.exec(line)
    if (typed) types.set(typed[1] ?? '', typed[2] ?? '')
    const found = line.startsWith('#') ? undefined : sample.exec(line)
    const [, name = '', labelText = '', value = ''] = found ?? []
    const family = pickFamily(name)
    if (!family) return []
    const type = types.get(family) ?? types.get(family.replace(/_total$/, '')) ?? 'untyped'
    return [{ family, name, type, labels: toLabels(labelText, to), value }]
  })
}

function pickFamily(name: string): string | undefined {
  if (allowed.has(name)) return name
  const bare = name.replace(/_(bucket|sum|count)$/, '')
  return allowed.has(bare) ? bare : undefined
}

function toLabels(text: string, { replica, model }: { replica: number; model: string }): Record<string, string> {
  const kept = [...text.matchAll(label)].flatMap(([, name = '', value = '']) =>
    hidden.has(name) || name === 'model_name' || /(^|=)\//.test(value) ? [] : [[name, unescapeLabel(value)] as const],
  )
  return { model_name: model, replica: String(replica), ...Object.fromEntries(kept) }
}

/** Each family once, in order of appearance, its series of all replicas below its type. */
export function renderFamilies(all: readonly Series[]): string {
  const families = Map.groupBy(all, (one) => one.family)
  const lines = [...families].flatMap(([family, series]) => [
    `# TYPE ${family} ${series[0]?.type ?? 'untyped'}`,
    ...series.map(renderSeries),
  ])
  return `${lines.join('\n')}\n`
}

function renderSeries({ name, labels, value }: Series): string {
  const inner = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`)
  return inner.length > 0 ? `${name}{${inner.join(',')}} ${value}` : `${name} ${value}`
}

const escapeLabel = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
const unescapeLabel = (text: string) => text.replaceAll(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char))

/** Empty: the argument was not given, vLLM's own default counts. */
export function toConfigLabels(planned: Planned, { dtype, args }: Launched): Record<string, string> {
  return {
    model_name: planned.model,
    dtype,
    replicas: String(planned.instances),
    max_num_seqs: pickArgument(args, ['--max-num-seqs']),
    max_model_len: pickArgument(args, ['--max-model-len']),
    tensor_parallel_size: pickArgument(args, ['--tensor-parallel-size', '-tp']),
    pipeline_parallel_size: pickArgument(args, ['--pipeline-parallel-size', '-pp']),
  }
}

/** `--name value`, `--name=value`, underscores for dashes; the last one counts. */
function pickArgument(args: readonly string[], names: readonly string[]): string {
  let found = ''
  args.forEach((arg, at) => {
    const [name = '', ...rest] = arg.split('=')
    const spelled = name.startsWith('--') ? name.replaceAll('_', '-') : name
    if (names.includes(spelled)) found = rest.length > 0 ? rest.join('=') : (args[at + 1] ?? '')
  })
  return found
}
