// How engines share the GPUs: pure arithmetic, with the reasons in words.
import type { Problem } from '../api/status.ts'
import { engineProblem } from './problems.ts'

/** From the model's config.json (model-shape.ts); unknown values are not judged. */
export type ModelShape = { heads?: number; vocab?: number }

export type ParallelWish = {
  /** GPUs that we may use; 0 on a machine without. */
  gpus: number
  tp: number
  pp: number
  dp?: number
  shape: ModelShape
  /** AUTO_TP_FALLBACK */
  fallback: boolean
  maxInstances: number
  /** A CPU build of vLLM, or a stand-in, that needs no GPU: one instance. */
  withoutGpu: boolean
}

export type Parallel = {
  tp: number
  instances: number
  gpusPerEngine: number
  /** GPUs that no engine uses. */
  remainder: number
  notes: string[]
}

export function planParallel(wish: ParallelWish): Parallel | Problem {
  const fit = pickTensorParallel(wish)
  if ('code' in fit) return fit
  const notes = fit.note ? [fit.note] : []
  if (wish.gpus === 0) {
    if (!wish.withoutGpu) return engineProblem('gpus-absent', 'no GPU was found')
    return { tp: fit.tp, instances: 1, gpusPerEngine: 0, remainder: 0, notes }
  }
  const perEngine = fit.tp * wish.pp * (wish.dp ?? 1)
  const possible = Math.floor(wish.gpus / perEngine)
  if (possible === 0)
    return engineProblem('gpus-too-few', `${wish.gpus} of the ${perEngine} GPUs that one engine needs are there`)
  const instances = Math.min(possible, wish.maxInstances)
  const remainder = wish.gpus - instances * perEngine
  if (remainder > 0) notes.push(`${remainder} of ${wish.gpus} GPUs stay unused: an engine takes ${perEngine}`)
  return { tp: fit.tp, instances, gpusPerEngine: perEngine, remainder, notes }
}

function pickTensorParallel({ tp, shape, fallback }: ParallelWish): { tp: number; note?: string } | Problem {
  if (isValidSplit(tp, shape)) return { tp }
  const valid = Array.from({ length: tp }, (_, at) => at + 1).filter((one) => isValidSplit(one, shape))
  const why = `tensor parallel size ${tp} does not divide ${describeShape(shape)}; valid up to it: ${valid.join(', ')}`
  const lower = valid.at(-1)
  if (!fallback || lower === undefined) return engineProblem('tensor-parallel-impossible', why)
  return { tp: lower, note: `${why}; ${lower} is used` }
}

/** vLLM splits the attention heads, and the vocabulary padded up to a multiple of 128. */
function isValidSplit(tp: number, { heads, vocab }: ModelShape): boolean {
  return (heads ?? tp) % tp === 0 && (vocab === undefined || (Math.ceil(vocab / 128) * 128) % tp === 0)
}

function describeShape({ heads, vocab }: ModelShape): string {
  const parts = [heads && `${heads} attention heads`, vocab && `a vocabulary of ${vocab} padded to 128`]
  return parts.filter(Boolean).join(' and ')
}

/**
 * What `auto` means here: bfloat16 where every GPU has compute capability 8.0 or more, and on a CPU; else float16.
 * @param capabilities `9.0`, …; one that is not known leaves the choice to vLLM (`auto`)
 */
export function resolveDtype(wanted: string | undefined, capabilities: readonly (string | undefined)[]): string {
  if (wanted !== undefined && wanted !== '' && wanted !== 'auto') return wanted
  if (capabilities.some((one) => one === undefined)) return 'auto'
  return capabilities.every((one) => Number.parseFloat(one ?? '') >= 8) ? 'bfloat16' : 'float16'
}
