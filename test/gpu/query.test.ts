import { expect, test } from 'vitest'
import type { Gpu } from '../../src/gpu/inventory.ts'
import { judgeGpu } from '../../src/gpu/health.ts'
import { dropField, parseProcesses, parseRows, parseUnknownField, toGpu } from '../../src/gpu/query.ts'
import { pickVisible } from '../../src/gpu/visible.ts'

test.for(['[N/A]', '[Not Supported]', '[Unknown Error]', '[Insufficient Permissions]', 'N/A', 'ERR!', ''])(
  'a cell that says "%s" is simply absent',
  (cell) => {
    const fields = ['index', 'uuid', 'name', 'memory.used', 'compute_cap']
    const [row] = parseRows(fields, `0, GPU-1, ${cell}, ${cell}, ${cell}\n`)
    expect(toGpu(row ?? new Map(), [])).toEqual({ index: 0, uuid: 'GPU-1', name: 'unknown', mig: false })
  },
)

test('rows that are no rows are left out', () => {
  expect(parseRows(['index', 'uuid'], 'Unable to determine the device handle for GPU\n1, GPU-1\n')).toHaveLength(1)
})

test('a renamed field is asked by its older name, an unknown one dropped', () => {
  expect(parseUnknownField('Field "compute_cap" is not a valid field to query.')).toBe('compute_cap')
  expect(dropField(['index', 'compute_cap'], 'compute_cap')).toEqual(['index'])
  const older = dropField(['clocks_event_reasons.hw_slowdown'], 'clocks_event_reasons.hw_slowdown')
  expect(older).toEqual(['clocks_throttle_reasons.hw_slowdown'])
  expect(dropField(older, 'clocks_throttle_reasons.hw_slowdown')).toEqual([])
})

test.for([
  ['remapped_rows.failure', 'Yes', 'gpu-defective'],
  ['remapped_rows.pending', 'Yes', 'gpu-reset-needed'],
  ['retired_pages.pending', 'Yes', 'gpu-reset-needed'],
  ['gpu_recovery_action', 'Drain and Reset', 'gpu-reset-needed'],
  ['utilization.gpu', '[GPU requires reset]', 'gpu-reset-needed'],
  ['ecc.errors.uncorrected.volatile.total', '2', 'gpu-memory-errors'],
  ['ecc.errors.uncorrected.volatile.total', '0', undefined],
  ['gpu_recovery_action', 'None', undefined],
  ['gpu_recovery_action', '[N/A]', undefined],
] as const)('%s = %s is judged %s', ([field, value, code]) => {
  expect(judgeGpu('GPU 0', new Map([[field, value]]))?.code).toBe(code)
})

test('processes whose memory or pid is not told do not break the list', () => {
  expect(parseProcesses('12, GPU-1, [N/A]\n[N/A], GPU-1, 5\n\n13, GPU-2, 700\n')).toEqual([
    { pid: 12, gpuUuid: 'GPU-1' },
    { pid: 13, gpuUuid: 'GPU-2', usedMiB: 700 },
  ])
})

const machine: Gpu[] = [0, 1, 2].map((index) => ({ index, uuid: `GPU-${index}abc`, name: 'x', mig: false }))

test.for([
  [undefined, [0, 1, 2], undefined],
  ['', [0, 1, 2], undefined],
  ['all', [0, 1, 2], undefined],
  ['2, 0', [2, 0], undefined],
  ['GPU-1abc', [1], undefined],
  ['GPU-1', [1], undefined],
  ['GPU-', [], 'GPU-'],
  ['0,7,1', [0], '7'],
  ['-1', [], undefined],
  ['1,1', [1], undefined],
] as const)('CUDA_VISIBLE_DEVICES=%s shows GPUs %j', ([visible, indices, unknown]) => {
  const picked = pickVisible(machine, visible)
  expect(picked.gpus.map((gpu) => gpu.index)).toEqual(indices)
  expect(picked.unknown).toBe(unknown)
})
