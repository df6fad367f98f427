// The GPUs of this machine as nvidia-smi tells them (facts/nvidia-smi.md). Shapes; gpus.ts keeps them up to date.
import type { Problem } from '../api/status.ts'

export type Gpu = {
  index: number
  uuid: string
  name: string
  busId?: string
  memoryTotalMiB?: number
  memoryUsedMiB?: number
  memoryFreeMiB?: number
  utilizationPercent?: number
  temperatureC?: number
  /** `9.0`; undefined where the driver does not say. */
  computeCapability?: string
  mig: boolean
  /** Its MIG instances where MIG is on; each can be a CUDA_VISIBLE_DEVICES entry of its own. */
  migDevices?: readonly MigDevice[]
  /** What is wrong with this GPU: memory errors, a pending reset, throttling. */
  problem?: Problem
}

export type MigDevice = { uuid: string; profile: string }

/** unknown: not asked yet. none: asked, and this machine has no GPU (no nvidia-smi, or no device). failed: it hangs or errs. */
export type Inventory =
  | { kind: 'unknown' }
  | { kind: 'none'; why: string }
  | { kind: 'failed'; problem: Problem }
  | {
      kind: 'known'
      gpus: readonly Gpu[]
      driverVersion?: string
      cudaVersion?: string
      nvmlVersion?: string
      /** A driver that stops answering leaves the last known GPUs here, with their age: no engine ends for it. */
      at: Date
    }

/** A process that holds GPU memory. In a PID namespace the pid may be that of the host. */
export type GpuProcess = { pid: number; gpuUuid: string; usedMiB?: number }

export type GpuProcesses =
  | { kind: 'none' }
  | { kind: 'failed'; problem: Problem }
  | { kind: 'known'; processes: readonly GpuProcess[] }
