// What an engine is told by its environment when the operator says nothing.
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { whenPid } from './asks.ts'
import { startWorld } from './world.ts'

test('the compile cache is beside an HF_HOME on the data volume, so that it outlives the instance', async () => {
  const world = await startWorld({ gpus: 1, set: { VLLM_CACHE_ROOT: '', MODEL_VOLUME_MOUNT: tmpdir() } })
  const environment = await readFile(`/proc/${await whenPid(world)}/environ`, 'utf8')
  expect(environment.split('\0')).toContain(`VLLM_CACHE_ROOT=${join(world.machine.folder, 'vllm-cache')}`)
})
