import { expect, test } from 'vitest'
import { diagnose, judgeRetry, redactKeys } from '../../src/engine/diagnose.ts'
import { engineProblems } from '../../src/engine/problems.ts'
import { signatures } from '../../src/engine/signatures.ts'
import { crashes } from '../../src/rehearsal/engine-crashes.ts'

const prefix = '(EngineCore_DP0 pid=4021) \u001b[31mERROR\u001b[0m 11-21 07:50:11 [core.py:708] '

/** Row of facts/vllm.md 2.8, a line as vLLM prints it, the code. */
const rows: [row: number, line: string, code: string][] = [
  [1, 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB.', 'vllm-gpu-oom'],
  [
    2,
    'RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.',
    'vllm-oom-warm-up',
  ],
  [
    3,
    'ValueError: Free memory on device cuda:0 (3.19/79.25 GiB) on startup is less than desired GPU memory utilization (0.9, 71.33 GiB).',
    'vllm-gpu-memory-occupied',
  ],
  [
    4,
    'AssertionError: Error in memory profiling. Initial free memory 60.12 GiB, current free memory 71.30 GiB.',
    'vllm-gpu-memory-changed',
  ],
  [
    5,
    'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`',
    'vllm-no-kv-cache-memory',
  ],
  [
    6,
    "ValueError: To serve at least one request with the models's max seq len (131072), (24.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.51 GiB). Based on the available memory, the estimated maximum model length is 51920.",
    'vllm-kv-cache-too-small',
  ],
  [
    6,
    'ValueError: The model max seq len (32768) is larger than the maximum number of tokens that can be stored in KV cache (9120).',
    'vllm-kv-cache-too-small',
  ],
  [
    7,
    '  Value error, User-specified max_model_len (1048576) is greater than the derived max_model_len (max_position_embeddings=32768)',
    'vllm-max-model-len',
  ],
  [8, 'ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (32768).', 'vllm-batched-tokens'],
  [
    8,
    'ValueError: max_num_batched_tokens (128) must be greater than or equal to max_num_seqs (256).',
    'vllm-batched-tokens',
  ],
  [9, 'huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo', 'vllm-gated-model'],
  [
    10,
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/x'.",
    'vllm-no-such-model',
  ],
  [
    11,
    'huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache and outgoing traffic has been disabled.',
    'vllm-offline-model',
  ],
  [12, 'RuntimeError: Cannot find any model weights with `/models/x`', 'vllm-no-weights'],
  [13, 'safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge', 'vllm-corrupt-shard'],
  [
    13,
    'safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered',
    'vllm-corrupt-shard',
  ],
  [14, "KeyError: 'layers.0.mlp.gate_up_proj.weight_scale_inv'", 'vllm-weights-mismatch'],
  [
    14,
    "ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}",
    'vllm-weights-mismatch',
  ],
  [
    15,
    "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: …",
    'vllm-unsupported-model',
  ],
  [
    16,
    'ValueError: The repository contains custom code. Please pass the argument `trust_remote_code=True` to allow it.',
    'vllm-remote-code',
  ],
  [
    17,
    'ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.',
    'vllm-no-bfloat16',
  ],
  [
    18,
    'ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current capability: 75.',
    'vllm-quantization',
  ],
  [
    19,
    'ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (6).',
    'vllm-tensor-parallel-split',
  ],
  [20, 'ValueError: World size (8) is larger than the number of available GPUs (4) in this node.', 'vllm-too-few-gpus'],
  [20, 'RuntimeError: CUDA error: invalid device ordinal', 'vllm-too-few-gpus'],
  [
    21,
    'RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`',
    'vllm-no-device',
  ],
  [21, 'ImportError: libcuda.so.1: cannot open shared object file: No such file or directory', 'vllm-no-device'],
  [
    22,
    'RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver.',
    'vllm-driver-too-old',
  ],
  [
    22,
    'RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted on non supported HW',
    'vllm-driver-too-old',
  ],
  [
    23,
    'RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized',
    'vllm-fabric-manager',
  ],
  [24, 'AttributeError: Qwen2Tokenizer has no attribute all_special_tokens_extended', 'vllm-transformers-too-new'],
  [
    25,
    "TypeError: tqdm.asyncio.tqdm_asyncio.__init__() got multiple values for keyword argument 'disable'",
    'vllm-hub-client-too-new',
  ],
  [26, "AttributeError: '_IncludedRouter' object has no attribute 'path'", 'vllm-fastapi-too-new'],
  [
    27,
    'ImportError: /opt/vllm/lib/python3.12/site-packages/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab',
    'vllm-abi-mismatch',
  ],
  [28, 'RuntimeError: CUDA error: no kernel image is available for execution on the device', 'vllm-no-kernel-image'],
  [
    29,
    'torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:268, unhandled system error, NCCL version 2.26.2',
    'vllm-nccl',
  ],
  [30, "OSError: [Errno 28] No space left on device: '/psm_4a1c5e02'", 'vllm-shm-too-small'],
  [
    31,
    "OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', 5001): address already in use",
    'vllm-port-in-use',
  ],
  [31, 'OSError: [Errno 98] Address already in use', 'vllm-port-in-use'],
  [32, "OSError: [Errno 28] No space left on device: '/root/.cache/vllm/torch_compile_cache/ab12'", 'vllm-disk-full'],
  [32, "PermissionError: [Errno 13] Permission denied: '/opt/theirs/torch_compile_cache'", 'vllm-path-forbidden'],
  [32, "OSError: [Errno 30] Read-only file system: '/usr/share/hf/modules'", 'vllm-path-forbidden'],
  [33, 'Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.', 'vllm-host-oom'],
  [34, 'RuntimeError: Failed to find C compiler. Please specify via CC environment variable.', 'vllm-no-compiler'],
  [34, 'fatal error: Python.h: No such file or directory', 'vllm-no-compiler'],
  [
    35,
    'filelock._error.Timeout: The file lock /root/.cache/flashinfer/0.2.5/90/cached_ops/tmp/batch_prefill.lock could not be acquired.',
    'vllm-flashinfer-lock',
  ],
  [36, 'torch._inductor.exc.InductorError: PTXASError: Internal Triton PTX codegen error', 'vllm-compile-cache'],
  [37, 'RuntimeError: CUDA error: an illegal memory access was encountered', 'vllm-illegal-access'],
  [38, 'RuntimeError: CUDA error: uncorrectable ECC error encountered', 'vllm-gpu-ecc'],
  [39, 'pynvml.NVMLError_GpuIsLost: GPU is lost', 'vllm-gpu-lost'],
  [40, 'TimeoutError: Timed out waiting for engine to send initial message on input socket.', 'vllm-ready-timeout'],
  [
    41,
    'vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace above for the root cause.',
    'vllm-engine-dead',
  ],
  [42, 'TimeoutError: RPC call to execute_model timed out.', 'vllm-rpc-timeout'],
  [42, 'No available shared memory broadcast block found in 60 seconds.', 'vllm-broadcast-stalled'],
  [43, 'ValueError: As of transformers v4.44, default chat template is no longer allowed', 'vllm-chat-template'],
  [44, 'ValueError: LoRA rank 64 is greater than max_lora_rank 16.', 'vllm-lora'],
  [45, 'api_server.py: error: unrecognized arguments: --num-scheduler-steps 8', 'vllm-bad-flag'],
  [45, "api_server.py: error: argument --dtype: invalid choice: 'int3' (choose from auto, half)", 'vllm-bad-flag'],
  [46, 'Unknown vLLM environment variable detected: VLLM_USE_V1', 'vllm-unknown-variable'],
  [47, "OSError: Can't load tokenizer for '/models/tiny'.", 'vllm-tokenizer'],
  [48, 'requests.exceptions.SSLError: HTTPSConnectionPool: [SSL: CERTIFICATE_VERIFY_FAILED]', 'vllm-hub-connection'],
]

const noise = [
  "INFO 11-21 07:50:01 [api_server.py:1034] args: Namespace(trust_remote_code=True, api_key='sk-secret-1')",
  'INFO 11-21 07:50:03 [core.py:60] Initializing a V1 LLM engine (v0.20.0) with config: trust_remote_code=True, size mismatch',
  'INFO 11-21 07:50:05 [gpu_model_runner.py:1531] Starting to load model /models/tiny...',
]
const symptoms = [
  'vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace above for the root cause.',
  'RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
]

for (const [row, line, code] of rows) {
  test(`row ${row} is ${code}: ${line.slice(0, 60)}`, () => {
    const { problem, retry } = diagnose(
      [...noise, prefix + line, ...(row === 41 ? [] : symptoms.slice(row === 40 || row === 42 || row > 42 ? 2 : 0))],
      1,
    )
    expect(problem.code).toBe(code)
    expect(line).toContain(problem.evidence.slice(0, 60))
    expect(problem.remedy).not.toBe('')
    expect(retry).toBe(judgeRetry(code))
  })
}

test('every row of the table is there', () => {
  expect(new Set(rows.map(([row]) => row))).toEqual(new Set(Array.from({ length: 48 }, (_, at) => at + 1)))
  expect(new Set(signatures.map(({ row }) => row)).size).toBe(48)
})

test('codes are unique, and each is in the table that README is made from', () => {
  const codes = signatures.map(({ code }) => code)
  expect(new Set(codes).size).toBe(codes.length)
  expect(codes.every((code) => engineProblems[code] !== undefined)).toBe(true)
})

test('symptoms never win against a cause, wherever it stands', () => {
  const cause = prefix + 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB'
  expect(diagnose([...symptoms, cause], 1).problem.code).toBe('vllm-gpu-oom')
  expect(diagnose([cause, ...symptoms], 1).problem.code).toBe('vllm-gpu-oom')
  expect(diagnose(symptoms, 1).problem.code).toBe('vllm-engine-dead')
})

test('a path that vLLM may not use follows from the setting that names it, where that is known to be wrong', () => {
  const lines = ["PermissionError: [Errno 13] Permission denied: '/opt/x'"]
  expect(diagnose(lines, 1).problem).toMatchObject({ code: 'vllm-path-forbidden', dependsOn: 'path-unwritable' })
  expect(diagnose([...lines, 'torch.OutOfMemoryError: no'], 1).problem.code).toBe('vllm-gpu-oom')
})

test('what a healthy engine prints explains no failure while something else does', () => {
  const hints = [
    'WARNING Unknown vLLM environment variable detected: VLLM_X',
    'No available shared memory broadcast block found in 60 seconds',
  ]
  expect(diagnose([...hints, 'torch.OutOfMemoryError: no'], 1).problem.code).toBe('vllm-gpu-oom')
})

test('a warning of every healthy start explains neither an exit by 0, nor a signal, nor a stalled load', () => {
  const hint = 'WARNING Unknown vLLM environment variable detected: VLLM_X'
  for (const code of [0, 139, undefined]) expect(diagnose([hint], code).problem.code).toBe('engine-exited')
  const later = Array.from({ length: 30 }, (_, at) => `INFO step ${at}`)
  expect(diagnose([hint, ...later], 1).problem.code).toBe('engine-exited')
})

test('retry follows the hint of the table', () => {
  const of = (retry: string) =>
    [...new Set(signatures.filter((one) => one.retry === retry).map(({ row }) => row))].toSorted((a, b) => a - b)
  for (const row of [3, 4, 29, 31, 33, 35, 37, 40, 41, 42]) expect(of('transient')).toContain(row)
  for (const row of [7, 8, 12, 13, 14, 15, 16, 17, 18, 19, 22, 24, 25, 26, 27, 28, 45])
    expect(of('never')).toContain(row)
  for (const row of [21, 23, 32, 38, 39]) expect(of('host')).toContain(row)
  // Memory that another holds comes back, access is granted, a volume is mounted: nobody tells us.
  for (const row of [1, 2, 5, 6, 9, 10, 11, 20, 30]) expect(of('host')).toContain(row)
})

test('the unknown stays unknown and shows the last lines', () => {
  const { problem, retry } = diagnose(['a', 'b', 'c', 'd', 'e', 'RuntimeError: the flux capacitor is not charged'], 1)
  expect(problem.code).toBe('engine-exited')
  expect(problem.evidence).toBe('exit 1 | b | c | d | e | RuntimeError: the flux capacitor is not charged')
  expect(retry).toBe('transient')
  expect(diagnose([], undefined).problem.evidence).toBe('ended without a status')
})

test('SIGKILL without a word is the kernel or a person', () => {
  expect(diagnose(noise, 137).problem.code).toBe('vllm-host-oom')
})

test('keys never get into evidence', () => {
  const text = "args: api_key='sk-1234', --api-key sk-5678 hf_abcdefghij Bearer abcdefgh12 api_key=['a', 'b']"
  expect(redactKeys(text)).not.toMatch(/sk-|hf_|abcdefgh|'a'/)
  expect(diagnose(["boom api_key='sk-1234'"], 1).problem.evidence).not.toContain('sk-1234')
})

for (const [name, crash] of Object.entries(crashes).filter(([, one]) => one.row > 0)) {
  test(`the rehearsal's crash "${name}" is diagnosed as row ${crash.row}`, () => {
    const { problem } = diagnose([...noise, prefix + crash.text, ...symptoms], crash.exit)
    const codes = signatures.filter((one) => one.row === crash.row).map(({ code }) => code)
    expect(codes).toContain(problem.code)
  })
}
