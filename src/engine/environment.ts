// The whole environment of an engine. Nothing is inherited: no NOTIFY_SOCKET, no proxy, no secret that it does not need.
import type { ProfileName } from '../config/engine.ts'
import { isAtLeast, profiles } from './profile.ts'

export type EnvironmentPlan = {
  profile: ProfileName
  version: string
  gpus: readonly number[]
  /** A folder on this machine: the hub is not asked. */
  modelIsLocal: boolean
  hfHome?: string | undefined
  /** Only passed on where the hub is needed. */
  hfToken?: string | undefined
  hfEndpoint?: string | undefined
  cacheRoot?: string | undefined
  loggingLevel: string
  ompNumThreads: number
  /** Home of the service's user: Triton, FlashInfer and torch keep caches there. */
  home: string
  /** Folder of the Python: Triton looks for ninja and ptxas beside it. */
  pythonFolder: string
  /** Config.engineEnv: POC_*, NCCL_*, VLLM_*, … as the operator set them. */
  engineEnv: Readonly<Record<string, string>>
  /** http_proxy and friends, for the hub alone. */
  proxies?: Readonly<Record<string, string>>
}

/** vLLM reads VLLM_PORT as the port of its own internals, and the profile decides VLLM_USE_V1. */
const neverPassed = new Set(['VLLM_PORT', 'VLLM_USE_V1', 'NOTIFY_SOCKET', 'VLLM_API_KEY', 'VLLM_ACCESS_KEY'])

export function buildEnvironment(plan: EnvironmentPlan): Record<string, string> {
  const passed = Object.entries(plan.engineEnv).filter(([name]) => !neverPassed.has(name))
  return {
    PATH: `${plan.pythonFolder}:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: plan.home,
    LANG: 'C.UTF-8',
    PYTHONUNBUFFERED: '1',
    VLLM_NO_USAGE_STATS: '1',
    // A forked worker cannot use CUDA that its parent has touched.
    VLLM_WORKER_MULTIPROC_METHOD: 'spawn',
    VLLM_LOGGING_LEVEL: plan.loggingLevel,
    ...(plan.gpus.length > 0 && { OMP_NUM_THREADS: String(plan.ompNumThreads) }),
    ...(plan.cacheRoot && { VLLM_CACHE_ROOT: plan.cacheRoot }),
    ...(plan.hfHome && { HF_HOME: plan.hfHome }),
    ...toHub(plan),
    ...Object.fromEntries(passed),
    ...toDevices(plan.gpus),
    ...toProfileEnv(plan),
  }
}

function toHub(plan: EnvironmentPlan): Record<string, string> {
  if (plan.modelIsLocal) return { HF_HUB_OFFLINE: '1' }
  return {
    ...(plan.hfToken && { HF_TOKEN: plan.hfToken, HUGGING_FACE_HUB_TOKEN: plan.hfToken }),
    ...(plan.hfEndpoint && { HF_ENDPOINT: plan.hfEndpoint }),
    ...plan.proxies,
  }
}

/** What the daemon decides for an engine on GPUs, whatever the operator says. */
export const deviceNames: ReadonlySet<string> = new Set(['CUDA_DEVICE_ORDER', 'CUDA_VISIBLE_DEVICES'])

/** The order of nvidia-smi, which our indices come from, is that of the bus. */
function toDevices(gpus: readonly number[]): Record<string, string> {
  return gpus.length === 0 ? {} : { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: gpus.join(',') }
}

function toProfileEnv({ profile, version }: EnvironmentPlan): Record<string, string> {
  const forced = profiles[profile].forcedEnv
  // A stock vLLM between the generations still has both engines; afterwards the name is unknown to it.
  const useV1 = profile !== 'v0-overlay' && !isAtLeast(version, '0.11') ? { VLLM_USE_V1: '1' } : {}
  return { ...useV1, ...forced }
}
