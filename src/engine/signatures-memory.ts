// Failures about memory: of the GPU, of the host, shared.
import type { Signature } from './signature.ts'

export const memorySignatures: readonly Signature[] = [
  {
    row: 2,
    code: 'vllm-oom-warm-up',
    title: 'GPU memory ran out while warming up the sampler',
    remedy: 'lower --max-num-seqs or GPU_MEMORY_UTILIZATION',
    retry: 'host',
    patterns: [/CUDA out of memory occurred when warming up (sampler|pooler) with \d+ dummy requests/i],
  },
  {
    row: 3,
    code: 'vllm-gpu-memory-occupied',
    title: 'the GPU memory is held by something else',
    remedy: 'see nvidia-smi for other processes on the GPU; it is tried again',
    retry: 'transient',
    patterns: [/Free memory on device .* on startup is less than desired GPU memory utilization/i],
  },
  {
    row: 4,
    code: 'vllm-gpu-memory-changed',
    title: 'another process used the GPU while memory was measured',
    remedy: 'keep other processes off the GPU; it is tried again',
    retry: 'transient',
    patterns: [/Error in memory profiling\. Initial free memory/i],
  },
  {
    row: 6,
    code: 'vllm-kv-cache-too-small',
    title: 'the KV cache cannot hold one request of the maximum length',
    remedy: 'set MAX_MODEL_LEN to the estimate in the message, or raise GPU_MEMORY_UTILIZATION',
    retry: 'host',
    patterns: [
      /To serve at least one request with the model('s|s's) max seq len \(\d+\)/i,
      /estimated maximum model length is \d+/i,
      /is larger than the maximum number of tokens that can be stored in KV cache/i,
    ],
  },
  {
    row: 5,
    code: 'vllm-no-kv-cache-memory',
    title: 'no GPU memory is left for the KV cache',
    remedy: 'raise GPU_MEMORY_UTILIZATION, use more GPUs per engine or a smaller model',
    retry: 'host',
    patterns: [/No available memory for the cache blocks/i],
  },
  {
    row: 33,
    code: 'vllm-host-oom',
    title: 'the kernel killed the engine: the memory of the machine ran out',
    remedy: 'use a machine with more RAM, or a load format that stages less; see dmesg',
    retry: 'transient',
    patterns: [
      /Out of memory: Killed process .*(vllm|VLLM::|python)/i,
      /Worker proc .* died unexpectedly \(exit code: -9\)/i,
    ],
  },
  {
    row: 30,
    code: 'vllm-shm-too-small',
    title: '/dev/shm is too small',
    remedy: 'make /dev/shm at least 8 GiB (mount -o remount,size=16G /dev/shm)',
    retry: 'host',
    patterns: [
      /Error while creating shared memory segment .*\/dev\/shm/i,
      /ncclShmOpen/i,
      /\bBus error\b/i,
      /No space left on device: '\/psm_/i,
    ],
  },
  {
    row: 1,
    code: 'vllm-gpu-oom',
    title: 'GPU memory ran out',
    remedy:
      'lower GPU_MEMORY_UTILIZATION, MAX_MODEL_LEN or --max-num-seqs, use more GPUs per engine, or a quantized model',
    retry: 'host',
    patterns: [/torch\.(cuda\.)?OutOfMemoryError/i, /CUDA out of memory\. Tried to allocate/i],
  },
]
