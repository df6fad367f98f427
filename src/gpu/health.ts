// What a row of nvidia-smi says about the health of its GPU. Pure; the worst finding wins.
import type { Problem } from '../api/status.ts'
import { toGpuProblem } from './problems.ts'

/** @param row cells by field name; absent and [N/A] cells say nothing */
export function judgeGpu(name: string, row: ReadonlyMap<string, string>): Problem | undefined {
  const cell = (field: string) => row.get(field) ?? ''
  const recovery = cell('gpu_recovery_action')
  if ([...row.values()].some((value) => /requires reset/i.test(value)))
    return toGpuProblem('gpu-reset-needed', `${name}: nvidia-smi prints [GPU requires reset]`)
  if (cell('remapped_rows.failure') === 'Yes') return toGpuProblem('gpu-defective', `${name}: row remapping failed`)
  if (/^(reset|reboot|drain)/i.test(recovery))
    return toGpuProblem('gpu-reset-needed', `${name}: recovery action ${recovery}`)
  if (cell('remapped_rows.pending') === 'Yes' || cell('retired_pages.pending') === 'Yes')
    return toGpuProblem('gpu-reset-needed', `${name}: repaired memory becomes active with the next reset`)
  const uncorrected = cell('ecc.errors.uncorrected.volatile.total')
  if (/^[1-9]\d*$/.test(uncorrected))
    return toGpuProblem(
      'gpu-memory-errors',
      `${name}: ${uncorrected} uncorrected memory errors since the driver started`,
    )
  return undefined
}

/** Slowed down at this moment; only a slow-down that lasts is a problem, which the caller measures. */
export function isThrottled(row: ReadonlyMap<string, string>): boolean {
  return (
    row.get('clocks_event_reasons.hw_slowdown') === 'Active' ||
    row.get('clocks_event_reasons.hw_thermal_slowdown') === 'Active'
  )
}
