// The GPUs of this machine as nvidia-smi tells them (facts/nvidia-smi.md). Shapes; gpus.ts keeps them up to date.
import type { Problem } from '../api/status.ts'

export type Gpu = {
  index: number
  uuid: string
  name: string
  memoryTotalMiB?: number
  memoryUsedMiB?: number
  memoryFreeMiB?: number
  utilizationPercent?: number
  temperatureC?: number
  /** `9.0`; undefined where the driver does not say. */
  computeCapability?: string
  mig: boolean
}

/** unknown: not asked yet. none: asked, and this machine has no GPU (no nvidia-smi, or no device). failed: it hangs or errs. */
export type Inventory =
  | { kind: 'unknown' }
  | { kind: 'none'; why: string }
  | { kind: 'failed'; problem: Problem }
  | { kind: 'known'; gpus: readonly Gpu[]; driverVersion?: string; cudaVersion?: string; at: Date }
