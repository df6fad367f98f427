// How far a load is, from the lines that vLLM prints (facts/vllm.md 2.6).
import { stripPrefix } from './diagnose.ts'

export type Stage = { stage: string; percent?: number }

/** In the order of a load; the name is what status shows. */
const markers: readonly [stage: string, pattern: RegExp][] = [
  ['importing', /Automatically detected platform /],
  ['reading arguments', /vLLM API server version |non-default args: |\bargs: Namespace\(/],
  ['configuring', /Initializing a V[01] LLM engine/],
  ['connecting ranks', /rank \d+ in world size \d+ is assigned|world_size=\d+ .*backend=/],
  ['choosing attention backend', /Using .*(Flash Attention|FLASH|attention) backend/i],
  ['loading weights', /Starting to load model /],
  ['downloading weights', /Time spent downloading weights/],
  ['weights loaded', /Loading weights took |Model loading took /],
  ['compiling', /Using cache directory: .*torch_compile_cache|Dynamo bytecode transform time|Compiling a graph for /],
  ['compiled', /Directly load the compiled graph|torch\.compile takes |Initial profiling\/warmup run took/],
  ['profiling memory', /Available KV cache memory: |Profiling CUDA graph memory/],
  ['allocating KV cache', /KV cache size: [\d,]+ tokens|# (GPU|CUDA) blocks: /],
  ['capturing graphs', /Capturing CUDA graph|Graph capturing finished/i],
  ['warming up', /init engine \(profile, create kv cache, warmup model\) took/],
  ['starting HTTP', /Starting vLLM (API )?server .*on http|HTTP server started|Started server process/],
  ['ready', /Application startup complete\./],
]

/** All that `stage` can be. */
export const stages: readonly string[] = markers.map(([stage]) => stage)

/** `Loading safetensors checkpoint shards:  50% Completed | 2/4`, `Capturing CUDA graphs (…): 43%|…` */
const bars: readonly [stage: string, pattern: RegExp][] = [
  ['loading weights', /Loading .*(?:shards|weights|safetensors|Streamer).*?:\s+(\d{1,3})%/i],
  ['capturing graphs', /Capturing CUDA graphs?.*?:\s+(\d{1,3})%/i],
  ['downloading weights', /(?:Fetching \d+ files|\.safetensors):\s+(\d{1,3})%/i],
]

/** Undefined for lines that say nothing about it. */
export function parseStage(line: string): Stage | undefined {
  const text = stripPrefix(line)
  for (const [stage, pattern] of bars) {
    const percent = pattern.exec(text)?.[1]
    if (percent !== undefined) return { stage, percent: Math.min(100, Number(percent)) }
  }
  const found = markers.find(([, pattern]) => pattern.test(text))
  return found && { stage: found[0] }
}

/** What uvicorn prints in the moments before it listens. */
export const isAboutToListen = ({ stage }: { stage?: string }): boolean =>
  stage === 'starting HTTP' || stage === 'ready'
