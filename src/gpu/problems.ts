// Everything that can be wrong with the GPUs, for the operator; README's table is made from this.
import { problemsOf } from '../core/problem.ts'

export const gpuProblems = {
  'gpu-driver-hangs': {
    title: 'the GPU driver does not answer',
    remedy:
      'reboot the instance, or stop and start it to move to another host; `journalctl -k | grep -i xid` shows the cause',
  },
  'gpu-driver-not-loaded': {
    title: 'the NVIDIA driver is not loaded',
    remedy: 'run `modprobe nvidia` and read `journalctl -k | grep -i nvidia`; the driver must fit the running kernel',
  },
  'gpu-library-mismatch': {
    title: 'nvidia-smi and the loaded driver do not fit each other',
    remedy:
      'reboot: the driver was upgraded while the old one is still loaded; in a container mount the host libraries',
  },
  'gpu-no-permission': {
    title: 'we may not use the GPUs',
    remedy: 'allow /dev/nvidia* for the service user and in DeviceAllow= of the unit',
  },
  'gpu-lost': {
    title: 'a GPU fell off the bus',
    remedy: 'stop and start the instance; if it comes back, replace the host',
  },
  'gpu-query-failed': {
    title: 'nvidia-smi failed',
    remedy: 'run `nvidia-smi` by hand as the service user and read its message',
  },
  'gpu-missing': {
    title: 'a GPU that was here has vanished',
    remedy: 'read `journalctl -k | grep -i xid`; stop and start the instance',
  },
  'gpu-not-visible': {
    title: 'CUDA_VISIBLE_DEVICES names a GPU that is not here',
    remedy: 'correct CUDA_VISIBLE_DEVICES: indices or UUIDs as `nvidia-smi -L` shows them, comma separated',
  },
  'gpu-memory-errors': {
    title: 'GPU memory has uncorrected errors',
    remedy: 'drain the node and reset the GPU or reboot; replace the host if they come back',
  },
  'gpu-reset-needed': {
    title: 'a GPU needs a reset',
    remedy: 'drain the node (`gonka-node leave`), then reboot the instance',
  },
  'gpu-defective': {
    title: 'GPU memory can no longer be repaired',
    remedy: 'stop and start the instance to move to another host',
  },
  'gpu-throttled': {
    title: 'a GPU is slowed down by its hardware',
    remedy: 'check cooling and power of the host; on a cloud instance stop and start it to move to another host',
  },
} as const

export type GpuProblemCode = keyof typeof gpuProblems

export const toGpuProblem = problemsOf(gpuProblems)
