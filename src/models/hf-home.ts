// Where model files and compile caches are when nobody says (contracts/environment.md, the doubtful ones). Pure.
import { dirname, join } from 'node:path'

export type HfFacts = {
  /** HF_HOME where set. */
  hfHome: string | undefined
  /** MODEL_VOLUME_MOUNT, `/data`. */
  volumeMount: string
  /** Whether a data volume is named, or that or its `huggingface` folder, is a mount point. */
  mounted: boolean
  /** Whether `huggingface/hub` is there. */
  hasHub: boolean
  /** Home folder of whom we run as. */
  home: string
}

/** HF_HOME as set, else `/data/huggingface` where that is on a mounted volume or holds a `hub` folder, else ~/.cache/huggingface. */
export function judgeHfHome({ hfHome, volumeMount, mounted, hasHub, home }: HfFacts): string {
  if (hfHome) return hfHome
  return mounted || hasHub ? join(volumeMount, 'huggingface') : join(home, '.cache', 'huggingface')
}

/** VLLM_CACHE_ROOT as set, else `vllm-cache` beside an HF_HOME on the volume, else undefined: vLLM's own default. */
export function judgeCacheRoot(facts: {
  cacheRoot: string | undefined
  hfHome: string
  volumeMount: string
}): string | undefined {
  const { cacheRoot, hfHome, volumeMount } = facts
  if (cacheRoot) return cacheRoot
  return hfHome.startsWith(`${volumeMount}/`) ? join(dirname(hfHome), 'vllm-cache') : undefined
}
