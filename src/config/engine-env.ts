// The variables that go on to engines as they are: those that vLLM and what is below it read, less those that are ours.
import { fields } from './field-table.ts'
import type { Given } from './given.ts'
import { looksSecret } from './portable.ts'
import { unusedVariables } from './unused-variables.ts'

/** Shown in README in this order. */
export const enginePrefixes = [
  'VLLM_',
  'POC_',
  'GONKA_POC_',
  'NCCL_',
  'CUDA_',
  'TORCH',
  'PYTORCH_',
  'TRITON_',
  'FLASHINFER_',
  'HF_',
  'TRANSFORMERS_',
  'TOKENIZERS_',
  'SAFETENSORS_',
  'OMP_',
  'MKL_',
  'GLOO_',
  'UCX_',
  'NVSHMEM_',
  'NVIDIA_',
  'RAY_',
  'LMCACHE_',
  'REHEARSAL_',
] as const

export const engineNames = [
  'PYTHONPATH',
  'PYTHONUNBUFFERED',
  'PYTHONHASHSEED',
  'LD_LIBRARY_PATH',
  'DO_NOT_TRACK',
] as const

const owned: ReadonlySet<string> = new Set([
  ...fields.filter(({ meta }) => !meta.passOn).flatMap(({ names }) => names),
  ...Object.keys(unusedVariables),
])

/** Whether engines get a variable of this name. Keys and tokens stay here unless a field says `passOn` (D9). */
export function engineVariable(name: string): boolean {
  if (owned.has(name)) return false
  if (fields.some(({ meta }) => meta.passOn && meta.env === name)) return true
  const theirs = enginePrefixes.some((prefix) => name.startsWith(prefix)) || engineNames.some((one) => one === name)
  return theirs && !looksSecret(name)
}

export function pickEngineEnv(given: Given): Record<string, string> {
  return Object.fromEntries(
    [...given].filter(([name]) => engineVariable(name)).map(([name, { value }]) => [name, value]),
  )
}
