// Is a serving engine alive? Liveness is progress, not /health (D4, facts/peers.md B3). Pure: one sample in, one verdict out.
import type { ProfileName } from '../config/engine.ts'

/** What one look at the engine told. Undefined: not known this time, which never counts as idle. */
export type HangSample = {
  /** Monotonic ms. */
  at: number
  /** Nobody listens: not the same as an answer that does not come, which is saturation. */
  refused: boolean
  metrics: EngineCounters
  /** Undefined where the profile has no PoC, or its status did not come. */
  poc?: { generating: boolean; processed?: number } | undefined
  /** Requests that our own proxy has open there: a wedge before the gauge update reads 0 running (vllm#46811). */
  inFlight: number
  /** When the proxy last saw bytes of it, monotonic ms; 0 = never. */
  progressAt: number
}

export type EngineCounters = {
  /** Sum of vllm:iteration_tokens_total_count. */
  iterations?: number
  /** vllm:generation_tokens_total + vllm:prompt_tokens_total. */
  tokens?: number
  /** Max over the series. */
  running?: number
  waiting?: number
}

export type HangState = {
  /** Last proof of life. */
  aliveAt: number
  /** One complete scrape was seen: without it nothing is judged. */
  seen: boolean
  counters: EngineCounters
  processed?: number | undefined
  strikes: number
}

export type HangVerdict =
  | { kind: 'alive' | 'unknown' | 'frozen' | 'refused' }
  /** gaugesIdle: by its own gauges it has nothing to do; perhaps only a client of ours reads slowly. Ask it before the kill. */
  | { kind: 'hung'; gaugesIdle: boolean; evidence: string }

/** A single late look never ends an engine. */
const strikesToHang = 3

export const newHangState = (at: number): HangState => ({ aliveAt: at, seen: false, counters: {}, strikes: 0 })

/** @param rules.grace ms; 0 switches the judgement off, a refused connection included */
export function judgeHang(
  state: HangState,
  sample: HangSample,
  rules: { grace: number; profile: ProfileName },
): { state: HangState; verdict: HangVerdict } {
  const next = remember(state, sample)
  if (rules.grace <= 0) return { state: next, verdict: { kind: 'unknown' } }
  if (sample.refused) return { state: next, verdict: { kind: 'refused' } }
  if (isAlive(state, sample, rules.profile))
    return { state: { ...next, aliveAt: sample.at, strikes: 0 }, verdict: { kind: 'alive' } }
  if (!next.seen) return { state: next, verdict: { kind: 'unknown' } }
  const frozenFor = sample.at - state.aliveAt
  if (frozenFor <= rules.grace) return { state: { ...next, strikes: 0 }, verdict: { kind: 'frozen' } }
  const strikes = state.strikes + 1
  if (strikes < strikesToHang) return { state: { ...next, strikes }, verdict: { kind: 'frozen' } }
  return {
    state: { ...next, strikes },
    verdict: { kind: 'hung', gaugesIdle: areGaugesIdle(sample), evidence: describe(next, sample, frozenFor) },
  }
}

function isAlive(state: HangState, sample: HangSample, profile: ProfileName): boolean {
  // Bytes came out since the last proof: nothing says life better.
  if (sample.progressAt > state.aliveAt) return true
  const generating = sample.poc?.generating === true
  if (generating && (state.processed === undefined || changed(state.processed, sample.poc?.processed))) return true
  const { metrics } = sample
  // V0's in-process engine ticks its iteration counter from the API server even while a step hangs: tokens alone count there.
  if (profile !== 'v0-overlay' && changed(state.counters.iterations, metrics.iterations)) return true
  if (changed(state.counters.tokens, metrics.tokens)) return true
  return isIdle(sample)
}

/** By all that was told it has nothing to do. */
export const isIdle = (sample: HangSample): boolean => areGaugesIdle(sample) && sample.inFlight === 0

function areGaugesIdle({ metrics, poc }: HangSample): boolean {
  return metrics.running === 0 && metrics.waiting === 0 && poc?.generating !== true
}

/** Different, not greater: a counter that was reset is one that runs again. */
const changed = (old: number | undefined, now: number | undefined): boolean =>
  old !== undefined && now !== undefined && old !== now

/** V0 shows its labelled counters only after the first request: then the gauges are all there is. */
const isComplete = ({ running, waiting }: EngineCounters): boolean => running !== undefined && waiting !== undefined

function remember(state: HangState, sample: HangSample): HangState {
  return {
    ...state,
    seen: state.seen || isComplete(sample.metrics),
    counters: { ...state.counters, ...sample.metrics },
    processed: sample.poc?.generating ? (sample.poc.processed ?? state.processed) : undefined,
  }
}

function describe({ counters, processed }: HangState, sample: HangSample, frozenFor: number): string {
  const show = (value: number | undefined) => value ?? 'unknown'
  const poc = sample.poc?.generating ? `, PoC at ${show(processed)} nonces` : ''
  return (
    `no progress for ${Math.round(frozenFor / 1000)} s: ${show(counters.iterations)} iterations, ${show(counters.tokens)} tokens, ` +
    `running ${show(sample.metrics.running)}, waiting ${show(sample.metrics.waiting)}, ${sample.inFlight} of our requests open${poc}`
  )
}

/** Reads the few series that matter out of Prometheus text; what is missing or no number stays undefined. */
export function parseCounters(text: string): EngineCounters {
  const prompt = sumOf(text, 'vllm:prompt_tokens_total')
  const generation = sumOf(text, 'vllm:generation_tokens_total')
  const found: { [K in keyof EngineCounters]: number | undefined } = {
    iterations: sumOf(text, 'vllm:iteration_tokens_total_count'),
    tokens: prompt === undefined && generation === undefined ? undefined : (prompt ?? 0) + (generation ?? 0),
    running: maxOf(text, 'vllm:num_requests_running'),
    waiting: maxOf(text, 'vllm:num_requests_waiting'),
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
}

const sumOf = (text: string, name: string): number | undefined => combine(text, name, (a, b) => a + b)
const maxOf = (text: string, name: string): number | undefined => combine(text, name, (a, b) => Math.max(a, b))

function combine(text: string, name: string, join: (a: number, b: number) => number): number | undefined {
  const series = new RegExp(`^${name}(?:\\{[^\\n]*\\})? +(\\S+)`, 'gm')
  const values = [...text.matchAll(series)].map((found) => Number(found[1]))
  return values.length === 0 || values.some((value) => !Number.isFinite(value)) ? undefined : values.reduce(join)
}
