// How a load fails: the log texts of facts/vllm.md 2.8, each at the stage where vLLM prints it and with its exit.
import type { Stage } from './engine-stages.ts'

export type Crash = {
  /** Row of facts/vllm.md 2.8. */
  row: number
  stage: Stage
  /** The cause, printed by the process that met it. */
  text: string
  /** 137: killed by SIGKILL, 139: SIGSEGV. */
  exit: number
}

const at = (row: number, stage: Stage, text: string, exit = 1): Crash => ({ row, stage, text, exit })

export const crashes: Record<string, Crash> = {
  oom: at(
    1,
    'shards',
    'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total capacity of 79.25 GiB of which 120.94 MiB is free. Process 4021 has 79.12 GiB memory in use.',
  ),
  'oom-warmup': at(
    2,
    'graphs',
    'RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.',
  ),
  occupied: at(
    3,
    'distributed',
    'ValueError: Free memory on device cuda:0 (3.19/79.25 GiB) on startup is less than desired GPU memory utilization (0.9, 71.33 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.',
  ),
  profiling: at(
    4,
    'profiling',
    'AssertionError: Error in memory profiling. Initial free memory 60.12 GiB, current free memory 71.30 GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization.',
  ),
  'no-kv': at(
    5,
    'kv',
    'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.',
  ),
  kv: at(
    6,
    'kv',
    "ValueError: To serve at least one request with the models's max seq len (131072), (24.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.51 GiB). Based on the available memory, the estimated maximum model length is 51920. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
  ),
  'too-long': at(
    7,
    'args',
    "  Value error, User-specified max_model_len (1048576) is greater than the derived max_model_len (max_position_embeddings=32768 or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.",
  ),
  'small-batch': at(
    8,
    'config',
    'ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (32768). This effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer sequences.',
  ),
  gated: at(
    9,
    'args',
    'huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo for url https://huggingface.co/some/model/resolve/main/config.json. You are trying to access a gated repo.',
  ),
  'bad-repo': at(
    10,
    'args',
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/absent'. Use `repo_type` argument if needed.",
  ),
  offline: at(
    11,
    'args',
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache and outgoing traffic has been disabled. To enable hf.co look-ups and downloads online, set 'local_files_only' to False.",
  ),
  'no-weights': at(12, 'shards', 'RuntimeError: Cannot find any model weights with `/models/tiny`'),
  corrupt: at(
    13,
    'shards',
    'safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer',
  ),
  mismatch: at(
    14,
    'shards',
    "ValueError: Following weights were not initialized from checkpoint: {'model.layers.0.mlp.experts.w13_weight'}",
  ),
  arch: at(
    15,
    'args',
    "  Value error, Model architectures ['NewestForCausalLM'] are not supported for now. Supported architectures: dict_keys(['LlamaForCausalLM'])",
  ),
  'remote-code': at(
    16,
    'args',
    'ValueError: Loading some/model requires you to execute the configuration file in that repo on your local machine. Please set the option `trust_remote_code=True` to remove this error.',
  ),
  bf16: at(
    17,
    'distributed',
    'ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.',
  ),
  quantization: at(
    18,
    'config',
    'ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current capability: 75.',
  ),
  'tp-split': at(
    19,
    'config',
    'ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3).',
  ),
  'few-gpus': at(
    20,
    'distributed',
    "ValueError: World size (8) is larger than the number of available GPUs (4) in this node. If this is intentional and you are using: - ray, set '--distributed-executor-backend ray'.",
  ),
  'no-device': at(21, 'import', 'RuntimeError: Failed to infer device type'),
  driver: at(
    22,
    'distributed',
    'RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver.',
  ),
  fabric: at(
    23,
    'distributed',
    'RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized',
  ),
  transformers: at(
    24,
    'args',
    "AttributeError: Qwen2Tokenizer has no attribute all_special_tokens_extended. Did you mean: 'num_special_tokens_to_add'?",
  ),
  abi: at(
    27,
    'import',
    'ImportError: /opt/vllm/lib/python3.12/site-packages/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab',
  ),
  'no-kernel': at(28, 'shards', 'RuntimeError: CUDA error: no kernel image is available for execution on the device'),
  nccl: at(
    29,
    'distributed',
    'torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.hpp:268, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.26.2 ncclSystemError: System call failed',
  ),
  shm: at(30, 'distributed', "OSError: [Errno 28] No space left on device: '/psm_4a1c5e02'"),
  disk: at(32, 'compile', "OSError: [Errno 28] No space left on device: '/root/.cache/vllm/torch_compile_cache/ab12'"),
  'host-oom': at(
    33,
    'shards',
    'ERROR Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.',
    137,
  ),
  segfault: at(0, 'graphs', '!!!!!!! Segfault encountered !!!!!!!', 139),
  compiler: at(34, 'compile', 'RuntimeError: Failed to find C compiler. Please specify via CC environment variable.'),
  inductor: at(36, 'compile', 'torch._inductor.exc.InductorError: PTXASError: Internal Triton PTX codegen error'),
  illegal: at(37, 'profiling', 'RuntimeError: CUDA error: an illegal memory access was encountered'),
  ecc: at(38, 'shards', 'RuntimeError: CUDA error: uncorrectable ECC error encountered'),
  lost: at(39, 'distributed', 'pynvml.NVMLError_GpuIsLost: GPU is lost'),
  timeout: at(
    40,
    'graphs',
    'TimeoutError: Timed out waiting for engines to send initial message on input socket. Raise VLLM_ENGINE_READY_TIMEOUT_S (600).',
  ),
  tokenizer: at(47, 'args', "OSError: Can't load tokenizer for '/models/tiny'."),
  tls: at(
    48,
    'args',
    "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
  ),
  unknown: at(0, 'compile', 'RuntimeError: the flux capacitor is not charged'),
}

/** By name or by row. */
export function findCrash(name: string): Crash | undefined {
  return crashes[name] ?? Object.values(crashes).find((one) => name !== '' && one.row === Number(name))
}
