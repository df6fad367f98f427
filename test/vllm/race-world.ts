// Eight rehearsal GPUs and the real daemon for random days of launches: engines that load at once, and eyes on their processes, their
// memory and their shared memory that do not go through the daemon's own.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LaunchResponse } from '../../src/api/launches.ts'
import { listProcesses } from '../../src/core/proc.ts'
import { writeProgram } from '../../src/rehearsal/program.ts'
import { createLaunchCalls, standsAlone } from '../fleet/launch-calls.ts'
import { startWorld, type World } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'
import { writeQuickEngine } from '../support/quick-engine.ts'

export const gpuCount = 8

/** A process of an engine; `launch` is the id of its launch. */
export type EngineProcess = { pid: number; launch: string; gpus: readonly number[] }

export type RaceWorld = World &
  ReturnType<typeof createLaunchCalls> & {
    /** Keepers included. */
    engineProcesses(): EngineProcess[]
    /** Of engines of this world, in /dev/shm. */
    segments(): string[]
    /** Files of whoever holds GPU memory. */
    holders(): string[]
    untilUp(): Promise<void>
  }

/** @param end called when the world may go */
export async function startRaceWorld(end: (then: () => Promise<void>) => void): Promise<RaceWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'gonka-races-'))
  const tag = `psm_race${process.pid.toString(36)}${Math.random().toString(36).slice(2, 6)}`
  const segments = () => readdirSync('/dev/shm').filter((name) => name.startsWith(tag))
  end(async () => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    // Where a day failed.
    for (const name of segments()) rmSync(join('/dev/shm', name))
  })
  // Has a segment open, as vLLM has; it stays behind in /dev/shm whatever ends it.
  const { python, compiled } = await writeQuickEngine(folder, 'stock', [`exec 9> /dev/shm/${tag}-$$`])
  const world = await startWorld({
    gpus: gpuCount,
    engine: python,
    start: false,
    lastsUntil: end,
    set: {
      ...standsAlone,
      REHEARSAL_LOAD_MS: '0',
      REHEARSAL_INTERRUPT_MS: '20',
      REHEARSAL_WATCHDOG_MS: '20',
      VLLM_STOP_TIMEOUT_SECONDS: '9',
    },
  })
  const smi = join(folder, 'nvidia-smi')
  const knobs = {
    NODE_COMPILE_CACHE: compiled,
    REHEARSAL_GPU_STATE: world.machine.gpuState,
    REHEARSAL_SMI_GPUS: String(gpuCount),
  }
  await writeProgram(smi, join(import.meta.dirname, '../../src/rehearsal/nvidia-smi.ts'), knobs)
  await world.setEnv('NVIDIA_SMI_PATH', smi)
  const calls = createLaunchCalls(world)
  const untilUp = () => eventually('the daemon answers', () => calls.list().then(() => true), 60_000, 20).then(() => {})
  world.start()
  await untilUp()
  await world.untilPart('gpu', 'is counted', ({ health }) => health === 'ok')
  return {
    ...world,
    ...calls,
    untilUp,
    engineProcesses: () => listProcesses().flatMap(({ pid }) => readEngine(pid, world.machine.folder) ?? []),
    segments,
    holders: () => readdirSync(world.machine.gpuState).filter((name) => name.endsWith('.json')),
  }
}

function readEngine(pid: number, folder: string): EngineProcess | undefined {
  const environ = readEnviron(pid)
  if (!environ.some((one) => one.includes(folder))) return undefined
  const of = (name: string) => environ.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1)
  const launch = /^launch-(.+)$/.exec(of('GONKA_LIFE') ?? '')?.[1]
  return launch === undefined
    ? undefined
    : { pid, launch, gpus: (of('CUDA_VISIBLE_DEVICES') ?? '').split(',').map(Number) }
}

function readEnviron(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
  } catch {
    return []
  }
}

/** Those that have GPUs, in the queue or not. */
export const isQueued = (one: LaunchResponse): boolean => one.queue_position !== undefined
