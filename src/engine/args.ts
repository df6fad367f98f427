// vLLM's command line as data: every spelling read into one form, so that two argument lists can be compared (D5).

/** Canonical flag (`tensor-parallel-size`, without dashes) to its canonical value. */
export type ParsedArgs = ReadonlyMap<string, string>

const aliases: Readonly<Record<string, string>> = {
  tp: 'tensor-parallel-size',
  pp: 'pipeline-parallel-size',
  dp: 'data-parallel-size',
  dpn: 'data-parallel-rank',
  dpl: 'data-parallel-size-local',
  dpa: 'data-parallel-address',
  dpp: 'data-parallel-rpc-port',
  dcp: 'decode-context-parallel-size',
  asc: 'api-server-count',
  q: 'quantization',
  cc: 'compilation-config',
  ac: 'attention-config',
  n: 'nnodes',
  r: 'node-rank',
  ep: 'enable-expert-parallel',
}

/** What the daemon alone decides; never part of a wish. */
export const ownedFlags: ReadonlySet<string> = new Set([
  'model',
  'model-tag',
  'served-model-name',
  'host',
  'port',
  'uds',
  'root-path',
  'api-key',
  'ssl-keyfile',
  'ssl-certfile',
  'worker-extension-cls',
])

/** Saying the default is saying nothing. Only what is the same in all generations. */
const defaults: Readonly<Record<string, string>> = {
  'tensor-parallel-size': '1',
  'pipeline-parallel-size': '1',
  'data-parallel-size': '1',
  'load-format': 'auto',
  'kv-cache-dtype': 'auto',
  'tokenizer-mode': 'auto',
  'config-format': 'auto',
  'enforce-eager': 'false',
  'trust-remote-code': 'false',
  'enable-auto-tool-choice': 'false',
  'enable-lora': 'false',
  'enable-sleep-mode': 'false',
  'enable-expert-parallel': 'false',
  'disable-log-stats': 'false',
  'skip-tokenizer-init': 'false',
  quantization: 'none',
  'tool-call-parser': 'none',
  'reasoning-parser': 'none',
  'chat-template': 'none',
  revision: 'none',
  'tokenizer-revision': 'none',
  'code-revision': 'none',
}

const dtypes: Readonly<Record<string, string>> = {
  half: 'float16',
  fp16: 'float16',
  float: 'float32',
  bf16: 'bfloat16',
}

/** One flag as it was written, with its values; `flag` is canonical and may carry a dotted path. `off`: written `--no-flag`. */
export type Arg = { flag: string; values: readonly string[]; off?: true }

/** In order, as written; what stands before the first flag is dropped: it would be the model. */
export function splitArgs(args: readonly string[]): Arg[] {
  const found: (Arg & { values: string[] })[] = []
  for (const word of args) {
    if (!isFlag(word)) {
      found.at(-1)?.values.push(word)
      continue
    }
    const equals = word.indexOf('=')
    const name = equals < 0 ? word : word.slice(0, equals)
    found.push(toArg(name, equals < 0 ? [] : [word.slice(equals + 1)]))
  }
  return found
}

export function parseArgs(args: readonly string[]): ParsedArgs {
  const flat = new Map<string, string>()
  const nested = new Map<string, Record<string, unknown>>()
  for (const { flag, values } of splitArgs(args)) {
    const [name = '', ...path] = flag.split('.')
    const whole = path.length === 0 ? toObject(values) : undefined
    if (whole) nested.set(name, whole)
    else if (path.length > 0) setPath(nested, [name, ...path], toValue(values.at(-1) ?? 'true'))
    else if (name === 'middleware') flat.set(name, [flat.get(name), ...values].filter(Boolean).join(' '))
    else flat.set(name, values.length === 0 ? 'true' : values.map((value) => canonical(name, value)).join(' '))
  }
  for (const [name, value] of nested) flat.set(name, stable(value))
  return flat
}

/**
 * Equal after parsing: spelling, order, defaults, resolved dtype; flags that the daemon owns are left out.
 * @param autoDtype what `auto`, or no dtype, means on this machine (parallel.ts)
 */
export function equivalent(a: readonly string[], b: readonly string[], autoDtype: string): boolean {
  return stable(toComparable(a, autoDtype)) === stable(toComparable(b, autoDtype))
}

/** What `equivalent` finds different; absent where it is not said, or said to be the default. */
export function findDifferences(
  a: readonly string[],
  b: readonly string[],
  autoDtype: string,
): { flag: string; one: string | undefined; other: string | undefined }[] {
  const [one, other] = [toComparable(a, autoDtype), toComparable(b, autoDtype)]
  const flags = [...new Set([...Object.keys(one), ...Object.keys(other)])].toSorted()
  return flags.filter((flag) => one[flag] !== other[flag]).map((flag) => ({ flag, one: one[flag], other: other[flag] }))
}

function toComparable(args: readonly string[], autoDtype: string): Record<string, string> {
  const out: Record<string, string> = {}
  for (const [name, value] of parseArgs(args)) {
    if (!ownedFlags.has(name) && defaults[name] !== value.toLowerCase()) out[name] = value
  }
  const dtype = out['dtype'] ?? 'auto'
  out['dtype'] = dtype === 'auto' ? (dtypes[autoDtype] ?? autoDtype) : dtype
  return out
}

export function toDegrees(args: readonly string[]): { tp: number; pp: number; dp: number } {
  const parsed = parseArgs(args)
  const read = (name: string) => Math.max(1, Number.parseInt(parsed.get(name) ?? '1', 10) || 1)
  return { tp: read('tensor-parallel-size'), pp: read('pipeline-parallel-size'), dp: read('data-parallel-size') }
}

/** `-1` and `-0.5` are values; a lone dash too. */
const isFlag = (word: string): boolean => /^--?[A-Za-z]/.test(word)

function toArg(word: string, values: string[]): Arg & { values: string[] } {
  if (!word.startsWith('--')) {
    // -O3 is the short form of the optimization level.
    const level = /^-O(\d+)$/.exec(word)
    if (level || word === '-O') return { flag: 'compilation-config.level', values: level?.[1] ? [level[1]] : values }
    const [short = '', ...path] = word.slice(1).split('.')
    return { flag: [aliases[short] ?? short, ...path].join('.'), values }
  }
  const [name = '', ...path] = word.slice(2).split('.')
  const flag = name.toLowerCase().replaceAll('_', '-')
  if (flag.startsWith('no-')) return { flag: flag.slice(3), values: ['false'], off: true }
  return { flag: [flag, ...path].join('.'), values }
}

function canonical(name: string, value: string): string {
  if (name === 'dtype') return dtypes[value.toLowerCase()] ?? value.toLowerCase()
  if (/^(true|false|none)$/i.test(value)) return value.toLowerCase()
  // 8k is 8000 and 8K is 8192 to vLLM.
  const human = /^(\d+(?:\.\d+)?)([kKmMgG])$/.exec(value)
  if (human) {
    const powers: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }
    return String(Number(human[1]) * (powers[human[2] ?? ''] ?? 1))
  }
  return /^-?\d+(\.\d+)?$/.test(value) ? String(Number(value)) : value
}

function toObject(values: readonly string[]): Record<string, unknown> | undefined {
  if (values.length !== 1 || !values[0]?.trim().startsWith('{')) return undefined
  const value = toValue(values[0])
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}

function toValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function setPath(nested: Map<string, Record<string, unknown>>, path: readonly string[], value: unknown): void {
  const [name = '', ...keys] = path
  let at = nested.get(name) ?? {}
  nested.set(name, at)
  for (const key of keys.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key] : undefined
    const object = typeof next === 'object' && next !== null ? (next as Record<string, unknown>) : {}
    Object.defineProperty(at, key, { value: object, enumerable: true, configurable: true, writable: true })
    at = object
  }
  Object.defineProperty(at, keys.at(-1) ?? '', { value, enumerable: true, configurable: true, writable: true })
}

/** JSON with sorted keys. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  )
}
