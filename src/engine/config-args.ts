// The arguments that the configuration wants: the one source of what is launched and what is registered (P17).
import type { EngineConfig } from '../config/engine.ts'
import { splitArgs } from './args.ts'

export type Resolved = {
  /** After the fallback of parallel.ts. */
  tp: number
  /** bfloat16, float16, …; as parallel.ts resolved it. */
  dtype: string
}

/** In the order of the settings, EXTRA_VLLM_ARGS last; a flag that the extra arguments name is said only there. */
export function toConfigArgs(config: EngineConfig, resolved: Resolved): string[] {
  const extra = new Set(splitArgs(config.extraArgs).map(({ flag }) => flag.split('.')[0]))
  const wanted: [string, string | number | undefined][] = [
    ['--dtype', resolved.dtype],
    ['--tensor-parallel-size', resolved.tp],
    ['--pipeline-parallel-size', config.pipelineParallel > 1 ? config.pipelineParallel : undefined],
    ['--max-model-len', config.maxModelLen],
    ['--gpu-memory-utilization', config.gpuMemoryUtilization],
    ['--trust-remote-code', config.trustRemoteCode ? '' : undefined],
    ['--enable-auto-tool-choice', config.enableAutoToolChoice ? '' : undefined],
    ['--tool-call-parser', config.toolCallParser],
    ['--reasoning-parser', config.reasoningParser],
  ]
  const own = wanted
    .filter(([flag, value]) => value !== undefined && !extra.has(flag.slice(2)))
    .flatMap(([flag, value]) => (value === '' ? [flag] : [flag, String(value)]))
  return [...own, ...config.extraArgs]
}
