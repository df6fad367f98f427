// Which model runs, how it is split over the GPUs and with which arguments (contracts/environment.md, facts/vllm.md).
import { z } from 'zod'
import { checkExtraArgs } from './extra-args.ts'
import {
  choice,
  duration,
  fileOr,
  flag,
  folder,
  fraction,
  indices,
  optionalWhole,
  text,
  textOr,
  whole,
  words,
} from './fields.ts'

export const profileNames = ['v0-overlay', 'v1-overlay', 'plugin', 'stock'] as const

export const engineSlice = z.object({
  model: text({
    env: 'MODEL_NAME',
    aliases: ['MODEL_ID'],
    doc: 'The model that this node serves: repository name or folder',
  }),
  inferenceNode: flag(
    { env: 'INFERENCE_NODE', doc: 'false: no model is launched at boot, the `up` of the broker does it' },
    true,
  ),
  tensorParallel: whole(
    { env: 'TENSOR_PARALLEL_SIZE', aliases: ['TENSOR_PARALLEL'], doc: 'GPUs per tensor-parallel group' },
    { min: 1, max: 1024, absent: 1 },
  ),
  pipelineParallel: whole(
    { env: 'PIPELINE_PARALLEL_SIZE', doc: 'Pipeline stages per engine' },
    { min: 1, max: 1024, absent: 1 },
  ),
  autoTpFallback: flag(
    {
      env: 'AUTO_TP_FALLBACK',
      doc: 'true: an impossible tensor parallel size is lowered to the largest valid one; false: it is an error',
    },
    true,
  ),
  nodeGpus: indices({
    env: 'NODE_GPUS',
    doc: "The GPUs of this node's own model, as indices `0,1` or `0-3`; the others are free for launches. All visible ones where not set",
  }),
  maxInstances: whole(
    { env: 'INFERENCE_MAX_INSTANCES', doc: 'At most so many engines' },
    { min: 1, max: 1024, absent: 128 },
  ),
  dtype: text({
    env: 'DTYPE',
    doc: 'auto, bfloat16, float16…; empty: bfloat16 where all GPUs support it, else float16',
  }),
  maxModelLen: optionalWhole({ env: 'MAX_MODEL_LEN', doc: '--max-model-len' }, { min: 1, max: 100_000_000 }),
  gpuMemoryUtilization: fraction({
    env: 'GPU_MEMORY_UTILIZATION',
    doc: '--gpu-memory-utilization: above 0, at most 1',
  }),
  trustRemoteCode: flag({ env: 'TRUST_REMOTE_CODE', doc: '--trust-remote-code' }, false),
  enableAutoToolChoice: flag({ env: 'ENABLE_AUTO_TOOL_CHOICE', doc: '--enable-auto-tool-choice' }, false),
  toolCallParser: text({ env: 'TOOL_CALL_PARSER', doc: '--tool-call-parser' }),
  reasoningParser: text({ env: 'REASONING_PARSER', doc: '--reasoning-parser' }),
  extraArgs: words(
    {
      env: 'EXTRA_VLLM_ARGS',
      doc: 'More vLLM arguments, in any spelling; also registered at the API nodes. Those that the daemon sets itself (host, port, model, key) are refused',
    },
    checkExtraArgs,
  ),
  pythonPath: fileOr(
    {
      env: 'VLLM_PYTHON_PATH',
      doc: 'Python of the vLLM environment; in a home folder it must be readable for the user gonka',
    },
    '/app/vllm-poc/.venv/bin/python',
  ),
  profile: choice(
    {
      env: 'VLLM_PROFILE',
      doc: 'Launch profile; found from the files of the environment where not set: v0-overlay, v1-overlay, plugin or stock',
    },
    profileNames,
    undefined,
  ),
  module: text({ env: 'MLNODE_VLLM_MODULE', doc: 'Python module started instead of that of the profile' }),
  cacheRoot: folder({
    env: 'VLLM_CACHE_ROOT',
    doc: 'vLLM compile cache; `vllm-cache` beside HF_HOME where that is a volume. The unit opens it to the service',
  }),
  loggingLevel: textOr({ env: 'VLLM_LOGGING_LEVEL', doc: 'Log level of vLLM' }, 'INFO'),
  ompNumThreads: whole(
    { env: 'OMP_NUM_THREADS', doc: 'OpenMP threads of an engine on GPUs' },
    { min: 1, max: 1024, absent: 1 },
  ),
  useV1: text({ env: 'VLLM_USE_V1', doc: 'The launch profile decides; a contrary value is a warning' }),
  startTimeout: duration(
    { env: 'VLLM_RUNNER_TIMEOUT', doc: 'A load that shows no progress for so long is given up', shown: '1200s' },
    1_200_000,
  ),
  hangGrace: duration(
    {
      env: 'MLNODE_HANG_GRACE_SEC',
      doc: 'Frozen counters with work in flight for so long count against an engine; 0 switches it off',
      shown: '120',
    },
    120_000,
  ),
  orderGrace: duration(
    { env: 'ORDER_GRACE', doc: 'How long `stop` and `down` of the broker only park the engines', shown: '60s' },
    60_000,
  ),
  drainTimeout: duration(
    { env: 'DRAIN_TIMEOUT', doc: 'How long a stop waits for running requests', shown: '30s' },
    30_000,
  ),
  stopTimeout: duration(
    { env: 'ENGINE_STOP_TIMEOUT', doc: 'How long an engine may take to end before its cgroup is killed', shown: '35s' },
    35_000,
  ),
})

export type EngineConfig = z.output<typeof engineSlice>
export type ProfileName = (typeof profileNames)[number]
