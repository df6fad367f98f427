// vLLM's command line as argparse sees it: spellings, lists, generations, and its error texts (facts/vllm.md 2.2).
import type { Generation } from './engine-knobs.ts'

export type EngineArgs = {
  model: string
  servedNames: string[]
  host: string
  port: number
  dtype: string
  tensorParallel: number
  maxModelLen: number
  apiKey: string
  enforceEager: boolean
  serverLoadTracking: boolean
  task: 'generate' | 'embed'
  /** Each as it was given, by its long name. */
  given: ReadonlyMap<string, readonly string[]>
}

const aliases: Record<string, string> = {
  '-tp': '--tensor-parallel-size',
  '-pp': '--pipeline-parallel-size',
  '-dp': '--data-parallel-size',
  '-q': '--quantization',
  '-O': '--compilation-config',
}

const withValue = words(`model served-model-name host port uds dtype tensor-parallel-size pipeline-parallel-size
  data-parallel-size max-model-len gpu-memory-utilization max-num-seqs max-num-batched-tokens quantization load-format
  tokenizer tokenizer-mode revision code-revision tokenizer-revision download-dir chat-template tool-call-parser
  reasoning-parser middleware api-key worker-extension-cls worker-cls kv-cache-dtype kv-cache-memory-bytes seed
  uvicorn-log-level root-path block-size distributed-executor-backend hf-overrides hf-config-path config config-format
  model-loader-extra-config compilation-config limit-mm-per-prompt generation-config override-generation-config
  speculative-config max-logprobs logprobs-mode lora-modules max-loras max-lora-rank max-cpu-loras scheduling-policy
  long-prefill-token-threshold max-parallel-loading-workers cpu-offload-gb kv-transfer-config allowed-origins
  response-role ssl-keyfile ssl-certfile mm-processor-kwargs guided-decoding-backend additional-config`)
const onlyOld = words(`swap-space max-seq-len-to-capture rope-scaling rope-theta task device num-scheduler-steps
  preemption-mode scheduler-delay-factor tokenizer-pool-size tokenizer-pool-type override-pooler-config`)
const onlyNew = words(`attention-backend structured-outputs-config runner convert shutdown-timeout
  safetensors-load-strategy disable-access-log-for-endpoints api-server-count device-ids max-cudagraph-capture-size
  gonka-poc-block-prefixes moe-backend stream-interval`)
const switches = words(`enforce-eager trust-remote-code enable-auto-tool-choice enable-lora enable-prefix-caching
  no-enable-prefix-caching enable-chunked-prefill no-enable-chunked-prefill disable-log-stats
  disable-uvicorn-access-log enable-sleep-mode enable-expert-parallel enable-server-load-tracking
  disable-custom-all-reduce return-tokens-as-token-ids disable-fastapi-docs enable-force-include-usage
  multi-step-stream-outputs use-v2-block-manager disable-sliding-window enable-prompt-tokens-details`)
const oldSwitches = words(`disable-log-requests disable-frontend-multiprocessing enable-reasoning calculate-kv-scales
  enable-prompt-adapter`)
const newSwitches = words(`enable-log-requests no-enable-log-requests async-scheduling no-async-scheduling
  allow-deprecated-quantization enable-fault-tolerance language-model-only fail-on-environ-validation`)
const lists = words('served-model-name middleware api-key lora-modules allowed-origins')
const dtypes = ['auto', 'bfloat16', 'float', 'float16', 'float32', 'half']

/** A text is what argparse prints behind `error: `. */
export function parseEngineArgs(argv: readonly string[], generation: Generation): EngineArgs | string {
  const isOld = generation === 'v0-overlay'
  const takesValue = (name: string) => withValue.has(name) || (isOld ? onlyOld : onlyNew).has(name)
  const isSwitch = (name: string) => switches.has(name) || (isOld ? oldSwitches : newSwitches).has(name)
  const found = new Map<string, string[]>()
  const unknown: string[] = []
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? ''
    if (!word.startsWith('-')) {
      if (at === 0) found.set('model', [word])
      else unknown.push(word)
      continue
    }
    const [spelled, inline] = splitOnce(aliases[word] ?? word)
    const name = spelled.replace(/^--/, '').replaceAll('_', '-').split('.')[0] ?? ''
    if (isSwitch(name)) found.set(name, ['true'])
    else if (!takesValue(name)) unknown.push(word)
    else {
      const values = inline === undefined ? followers(argv, at, lists.has(name)) : [inline]
      if (values.length === 0)
        return `argument --${name}: expected ${lists.has(name) ? 'at least one' : 'one'} argument`
      if (inline === undefined) at += values.length
      found.set(name, values)
    }
  }
  if (unknown.length > 0) return `unrecognized arguments: ${unknown.join(' ')}`
  return toArgs(found)
}

function toArgs(found: ReadonlyMap<string, string[]>): EngineArgs | string {
  const one = (name: string, absent: string) => found.get(name)?.at(-1) ?? absent
  for (const name of ['port', 'tensor-parallel-size', 'pipeline-parallel-size', 'max-num-seqs']) {
    if (!/^-?\d+$/.test(one(name, '1'))) return `argument --${name}: invalid int value: '${one(name, '')}'`
  }
  const dtype = one('dtype', 'auto')
  if (!dtypes.includes(dtype)) {
    const choices = dtypes.map((known) => `'${known}'`).join(', ')
    return `argument --dtype: invalid choice: '${dtype}' (choose from ${choices})`
  }
  const model = one('model', 'facebook/opt-125m')
  return {
    model,
    servedNames: found.get('served-model-name') ?? [model],
    host: one('host', '0.0.0.0'),
    port: Number(one('port', '8000')),
    dtype,
    tensorParallel: Number(one('tensor-parallel-size', '1')),
    maxModelLen: toLength(one('max-model-len', '8192')),
    apiKey: one('api-key', ''),
    enforceEager: found.has('enforce-eager'),
    serverLoadTracking: found.has('enable-server-load-tracking'),
    task:
      one('task', '') === 'embed' || one('runner', '') === 'pooling' || one('convert', '') === 'embed'
        ? 'embed'
        : 'generate',
    given: found,
  }
}

/** `8192`, `8k` (1000), `8K` (1024). */
function toLength(text: string): number {
  const match = /^(\d+)([kKmM]?)$/.exec(text)
  if (!match) return 8192
  const unit = { '': 1, k: 1e3, K: 1024, m: 1e6, M: 1048576 }[match[2] ?? ''] ?? 1
  return Number(match[1]) * unit
}

function followers(argv: readonly string[], at: number, many: boolean): string[] {
  const rest = argv.slice(at + 1)
  const end = rest.findIndex((word) => word.startsWith('-') && !/^-\d/.test(word))
  const values = end < 0 ? rest : rest.slice(0, end)
  return many ? values : values.slice(0, 1)
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf('=')
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/))
}
