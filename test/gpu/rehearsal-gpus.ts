// A machine with rehearsal GPUs, for the tests of this folder.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { type Gpus, type GpusDeps, startGpus } from '../../src/gpu/gpus.ts'
import { writeProgram } from '../../src/rehearsal/program.ts'
import { tempDir } from '../support/temp-dir.ts'

export type RehearsalGpus = {
  gpus: Gpus
  /** The state folder: holders as JSON, and the knobs. */
  state: string
  readonly turn: (knobs: Record<string, string>) => Promise<void>
}

export async function startRehearsalGpus(
  knobs: Record<string, string>,
  deps: Partial<GpusDeps> = {},
): Promise<RehearsalGpus> {
  const state = await tempDir()
  const turn = (next: Record<string, string>) =>
    writeFile(
      join(state, 'knobs'),
      Object.entries(next)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
  await turn(knobs)
  const script = join(import.meta.dirname, '../../src/rehearsal/nvidia-smi.ts')
  const nvidiaSmi = await writeProgram(join(state, 'nvidia-smi'), script, { REHEARSAL_GPU_STATE: state })
  const gpus = startGpus({ nvidiaSmi, log: silentLog, every: 3_600_000, ...deps })
  onTestFinished(() => gpus.end('stop'))
  return { gpus, state, turn }
}
