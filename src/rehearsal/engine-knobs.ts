// The knobs of the rehearsal engine, all environment variables. A value with commas is one value per engine, by slot.

export const generations = ['v0-overlay', 'v1-overlay', 'plugin', 'stock'] as const
export type Generation = (typeof generations)[number]

export type Knobs = {
  slot: number
  generation: Generation
  /** From the start of the program to listening, ms. */
  loadMs: number
  /** A name or number of engine-crashes.ts; only the first `crashTimes` lives of this slot, when REHEARSAL_STATE is a folder. */
  crash: string
  crashTimes: number
  stateFolder: string
  /** Stops for ever at this stage of the load. */
  stallAt: string
  /** ms of serving after which the core answers nothing any more (/health stays 200). */
  hangAfterMs: number | undefined
  /** ms of serving after which it exits with exitCode. */
  exitAfterMs: number | undefined
  exitCode: number
  /** `term`: SIGTERM never helps; `all`: SIGINT neither. */
  deaf: '' | 'term' | 'all'
  /** ms after listening in which /health is 503. */
  lateHealthMs: number
  /** From the death of the core to the exit of the API server (5 s in vLLM). */
  watchdogMs: number
  /** How long SIGINT takes while loading (11 s in vLLM). */
  interruptMs: number
  /** The core stays behind when the API server ends. */
  orphan: boolean
  /** An orphaned core ends after so long, so that no test leaves one for ever. */
  orphanMs: number
  /** ms per generated token (one step of all running requests). */
  tokenMs: number
  /** Length of an embedding. */
  embedDims: number
  gpuState: string
  gpuMib: number
  /** How long the GPU memory stays taken after the death of its holder. */
  gpuLingerMs: number
  noncesPerSecond: number
  callbackMs: number
  /** init/generate is refused: `409`, `503` or `500`. */
  pocRefuse: string
  /** GENERATING, but nothing grows. */
  pocStuck: boolean
  /** Batches are made and never sent (the defect of the AMI). */
  pocMute: boolean
  /** Chat is refused with 503 while PoC generates. */
  pocBlocksChat: boolean
  maxQueued: number
  /** File of engine-marks.ts; empty: none. */
  marks: string
}

type Env = Readonly<Record<string, string | undefined>>

/** @param facts what the command line says: module and port */
export function readKnobs(env: Env, facts: { module: string; port: number }): Knobs {
  const slot = pickSlot(env, facts.port)
  const text = (name: string, absent = '') => pickBySlot(env[`REHEARSAL_${name}`], slot) ?? absent
  const number = (name: string, absent: number) => toNumber(text(name), absent)
  const generation = pickGeneration(text('GENERATION'), facts.module, env['VLLM_USE_V1'])
  const deaf = text('DEAF')
  return {
    slot,
    generation,
    loadMs: number('LOAD_MS', 300),
    crash: text('CRASH'),
    crashTimes: number('CRASH_TIMES', Infinity),
    stateFolder: env['REHEARSAL_STATE'] ?? '',
    stallAt: text('STALL_AT'),
    hangAfterMs: toOptional(text('HANG_AFTER_MS')),
    exitAfterMs: toOptional(text('EXIT_AFTER_MS')),
    exitCode: number('EXIT_CODE', 0),
    deaf: deaf === 'all' ? 'all' : deaf && deaf !== '0' ? 'term' : '',
    lateHealthMs: number('LATE_HEALTH_MS', 0),
    watchdogMs: number('WATCHDOG_MS', 5000),
    interruptMs: number('INTERRUPT_MS', 1000),
    orphan: toFlag(text('ORPHAN')),
    orphanMs: number('ORPHAN_MS', 120_000),
    tokenMs: number('TOKEN_MS', 10),
    embedDims: number('EMBED_DIMS', 384),
    gpuState: env['REHEARSAL_GPU_STATE'] ?? '',
    gpuMib: number('GPU_MIB', 60_000),
    gpuLingerMs: number('GPU_LINGER_MS', 0),
    noncesPerSecond: number('POC_NONCES_PER_S', 1000),
    callbackMs: number('POC_CALLBACK_MS', toNumber(env['POC_CALLBACK_INTERVAL_SEC'], 5) * 1000),
    pocRefuse: text('POC_REFUSE'),
    pocStuck: toFlag(text('POC_STUCK')),
    pocMute: toFlag(text('POC_MUTE')),
    pocBlocksChat: toFlag(text('POC_BLOCKS_CHAT', generation === 'v0-overlay' ? '0' : '1')),
    maxQueued: toNumber(env['POC_MAX_QUEUED_NONCES'], 100_000),
    marks: env['REHEARSAL_MARKS'] ?? '',
  }
}

/** `2000,4000` → the slot's own; the last one serves all that follow; one value serves all. */
export function pickBySlot(value: string | undefined, slot: number): string | undefined {
  if (value === undefined || value === '') return undefined
  const all = value.split(',')
  return all[Math.min(slot, all.length - 1)]?.trim()
}

/** By GPUs where pinned (`2,3` is the second pair), else by port: the first engine of the default base has 5001. */
function pickSlot(env: Env, port: number): number {
  const told = toOptional(env['REHEARSAL_SLOT'])
  if (told !== undefined) return told
  const gpus = (env['CUDA_VISIBLE_DEVICES'] ?? '').split(',').filter((one) => /^\d+$/.test(one.trim()))
  if (gpus.length > 0) return Math.floor(Number(gpus[0]) / gpus.length)
  const base = toNumber(env['REHEARSAL_BASE_PORT'], 5000)
  return port > base && port <= base + 128 ? port - base - 1 : 0
}

function pickGeneration(told: string, module: string, useV1: string | undefined): Generation {
  const found = generations.find((one) => one === told)
  if (found) return found
  if (module.startsWith('gonka_poc')) return 'plugin'
  return useV1 === '0' ? 'v0-overlay' : 'v1-overlay'
}

function toNumber(value: string | undefined, absent: number): number {
  const number = Number(value)
  return value === undefined || value === '' || !Number.isFinite(number) ? absent : number
}

function toOptional(value: string | undefined): number | undefined {
  return value === undefined || value === '' || !Number.isFinite(Number(value)) ? undefined : Number(value)
}

function toFlag(value: string): boolean {
  return value !== '' && value !== '0' && value !== 'false'
}
