// GPU memory that stays when its engine has ended, with real processes and the rehearsal's nvidia-smi: nobody gets the GPU, and no
// launch has ended, before a look has shown it free; whatever the daemon and nvidia-smi do meanwhile.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startWorld, type World } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'
import { createLaunchCalls, standsAlone } from './launch-calls.ts'

/** As long as no test takes: the test gives it back. */
const lingering = { REHEARSAL_GPU_LINGER_MS: '3600000', REHEARSAL_LOAD_MS: '50' }

/** The file of whoever holds the memory of that GPU. */
function findHolder({ machine }: World, gpu: number): string {
  const paths = readdirSync(machine.gpuState).map((name) => join(machine.gpuState, name))
  const found = paths.find((path) => path.endsWith('.json') && readFileSync(path, 'utf8').includes(`"gpus":[${gpu}]`))
  if (found === undefined) throw new Error(`nobody holds GPU ${gpu}`)
  return found
}

const giveBack = (world: World, gpu: number) => rmSync(findHolder(world, gpu))

const turnSmi = ({ machine }: World, knobs: string) => writeFileSync(join(machine.gpuState, 'knobs'), knobs)

/** Counts how often nvidia-smi is asked for the memory alone, which only the proof of an end does. */
async function startCounted() {
  const world = await startWorld({ gpus: 2, set: { ...standsAlone, ...lingering }, start: false })
  const { folder } = world.machine
  const [program, calls] = [join(folder, 'counted-smi'), join(folder, 'smi-calls')]
  const script = `#!/bin/sh\necho "$1" >> ${calls}\nexec ${join(folder, 'bin/nvidia-smi')} "$@"\n`
  writeFileSync(program, script, { mode: 0o755 })
  writeFileSync(calls, '')
  await world.setEnv('NVIDIA_SMI_PATH', program)
  world.start()
  await world.untilPart('gpu', 'is counted', ({ health }) => health === 'ok')
  const count = () => readFileSync(calls, 'utf8').split('=index,uuid,memory.used\n').length - 1
  const looks = (more: number) => {
    const wanted = count() + more
    return eventually(`${more} more looks`, () => count() >= wanted, 60_000)
  }
  return { world, looks }
}

test('a launch has its GPU until its memory is back: after a stop, after a crash, over a killed daemon, and while nvidia-smi fails', async () => {
  const { world, looks } = await startCounted()
  const { launch, look, refused, untilState, stop, pidsOn } = createLaunchCalls(world)
  const [one, other] = [await launch({ gpu_ids: [0] }), await launch({ gpu_ids: [1] })]
  const [first, second] = [one.launch_id, other.launch_id]
  for (const id of [first, second]) await untilState(id, 'ready')

  // Answered by 28 s, which is not waited for here: the daemon is killed before.
  const stopped = stop(first).catch(() => {})
  for (const pid of await pidsOn(1)) process.kill(pid, 'SIGKILL')
  await eventually('no process is left', async () => [...(await pidsOn(0)), ...(await pidsOn(1))].length === 0, 60_000)
  const held = `Requested GPUs are in use (gpu 0 -> ${first}, gpu 1 -> ${second})`
  const stillHeld = async () => {
    await looks(3)
    expect(await look(first)).toMatchObject({ state: 'stopping', error: null })
    // What crashed says why before its memory is back.
    expect(await look(second)).toMatchObject({ state: 'stopping', error: expect.stringMatching(/killed/i) as string })
    expect(await refused({})).toBe(held)
  }
  await stillHeld()
  await world.kill('SIGKILL')
  await stopped
  world.start()
  for (const id of [first, second]) await untilState(id, 'stopping')
  await world.untilPart('gpu', 'is counted', ({ health }) => health === 'ok')
  await stillHeld()
  const { launch_id: next } = await launch({ gpu_ids: [0], queue: true })

  // It comes back while nvidia-smi fails: that is no proof.
  turnSmi(world, 'EXIT=255\n')
  giveBack(world, 0)
  await stillHeld()
  turnSmi(world, '')
  expect(await untilState(first, 'stopped')).toMatchObject({ error: null })
  expect(await untilState(next, 'ready')).toMatchObject({ gpu_ids: [0] })
  expect((await look(second)).state).toBe('stopping')
  giveBack(world, 1)
  expect((await untilState(second, 'failed')).error).toMatch(/killed/i)
  expect(await launch({ gpu_ids: [1] })).toMatchObject({ gpu_ids: [1] })
})
