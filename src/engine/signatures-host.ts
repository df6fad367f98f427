// Failures about the machine: GPUs, driver, network, disk.
import type { Signature } from './signature.ts'

export const hostSignatures: readonly Signature[] = [
  {
    row: 38,
    code: 'vllm-gpu-ecc',
    title: 'the memory of a GPU is defective',
    remedy: 'stop and start the instance to move it to another host; see Xid 48, 63, 64, 94, 95 in dmesg',
    retry: 'host',
    patterns: [/uncorrectable ECC error encountered/i, /CUDA error: .*ECC/i],
  },
  {
    row: 39,
    code: 'vllm-gpu-lost',
    title: 'a GPU is lost',
    remedy: 'stop and start the instance to move it to another host; see Xid 79 in dmesg',
    retry: 'host',
    patterns: [/GPU is lost/i, /Unable to determine the device handle/i, /nvidia-smi.*unknown error/i],
  },
  {
    row: 23,
    code: 'vllm-fabric-manager',
    title: 'the NVSwitch fabric is not initialized',
    remedy: 'start nvidia-fabricmanager in the same version as the driver',
    retry: 'host',
    patterns: [/Error 802: system not yet initialized/i],
  },
  {
    row: 22,
    code: 'vllm-driver-too-old',
    title: 'the NVIDIA driver is too old for this vLLM',
    remedy:
      'install the driver that the CUDA version of the wheel needs, or cuda-compat with VLLM_ENABLE_CUDA_COMPATIBILITY=1',
    retry: 'never',
    patterns: [
      /The NVIDIA driver on your system is too old \(found version \d+\)/i,
      /provided PTX was compiled with an unsupported toolchain/i,
      /CUDA driver version is insufficient/i,
      /Error 80[34]:/i,
    ],
  },
  {
    row: 20,
    code: 'vllm-too-few-gpus',
    title: 'vLLM sees fewer GPUs than it needs',
    remedy: 'check CUDA_VISIBLE_DEVICES, the driver and the instance type',
    retry: 'host',
    patterns: [
      /World size \(\d+\) is larger than the number of available GPUs/i,
      /Tensor parallel size \(\d+\) exceeds available GPUs/i,
      /invalid device ordinal/i,
      /No CUDA GPUs are available/i,
    ],
  },
  {
    row: 21,
    code: 'vllm-no-device',
    title: 'vLLM finds no GPU driver',
    remedy: 'install the NVIDIA driver, or reboot after its update',
    retry: 'host',
    patterns: [
      /Failed to infer device type/i,
      /libcuda\.so\.1: cannot open shared object file/i,
      /NVML_ERROR/i,
      /Can't initialize NVML/i,
    ],
  },
  {
    row: 29,
    code: 'vllm-nccl',
    title: 'the GPUs cannot talk to each other (NCCL)',
    remedy:
      'set NCCL_DEBUG=INFO and look again; NCCL_P2P_DISABLE=1, NCCL_CUMEM_HOST_ENABLE=0 or NCCL_SOCKET_IFNAME may help',
    retry: 'transient',
    patterns: [/NCCL error/i, /ncclSystemError/i, /ncclUnhandledCudaError/i, /unhandled (system|cuda) error/i],
  },
  {
    row: 31,
    code: 'vllm-port-in-use',
    title: 'the port of the engine is taken',
    remedy: 'see who listens on it (ss -ltnp); it is tried again',
    retry: 'transient',
    patterns: [/\[Errno 98\] .*address already in use/i],
  },
  {
    row: 32,
    code: 'vllm-disk-full',
    title: 'the disk is full',
    remedy: 'free space, or move HF_HOME and VLLM_CACHE_ROOT to a larger volume',
    retry: 'host',
    patterns: [/\[Errno 28\] No space left on device/i, /Disk quota exceeded/i],
  },
  {
    row: 37,
    code: 'vllm-illegal-access',
    title: 'a GPU kernel failed',
    remedy: 'it is restarted; repeated, look for Xid 13 and 31 in dmesg and report it to vLLM',
    retry: 'transient',
    patterns: [
      /CUDA error: (an illegal memory access|device-side assert|unspecified launch failure|misaligned address)/i,
    ],
  },
  {
    // Last of the causes: a library may print it and go on.
    row: 32,
    code: 'vllm-path-forbidden',
    title: 'vLLM may not use a path',
    remedy:
      'let the service user own the path in the evidence, or name another one; a folder of a setting is named with it by `path-unwritable`',
    retry: 'host',
    patterns: [/PermissionError: \[Errno 13\]/, /OSError: \[Errno 30\] Read-only file system/],
    dependsOn: 'path-unwritable',
  },
]
