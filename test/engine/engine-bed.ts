// What the tests of a life share: a rehearsal engine with knobs in a folder of its own, ended when the test is over.
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { adoptBody } from '../../src/core/body.ts'
import { createLog, type Log, silentLog } from '../../src/core/log.ts'
import { readProcStat } from '../../src/core/proc.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { until } from '../../src/core/watch.ts'
import { buildArgv } from '../../src/engine/argv.ts'
import { type EngineDeps, type EngineLife, type EngineSpec, type Phase, startEngine } from '../../src/engine/life.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'

export const program = join(import.meta.dirname, '../../src/rehearsal/engine.ts')

export type Bed = { root: string; deps: EngineDeps; spec: EngineSpec; said: string[] }

/** @param knobs REHEARSAL_* without the prefix */
export async function engineBed(
  knobs: Record<string, string> = {},
  times: Partial<EngineDeps['times']> = {},
): Promise<Bed> {
  const root = await tempDir()
  const said: string[] = []
  const log: Log = createLog({ level: 'debug', secrets: createSecrets(), write: (line) => void said.push(line) })
  const deps: EngineDeps = {
    log,
    livesFolder: join(root, 'engines'),
    logDir: join(root, 'logs'),
    times: { start: 20_000, stop: 3000, drain: 5000, hangGrace: 0, ...times },
  }
  return { root, deps, said, spec: await toSpec(knobs) }
}

export async function toSpec(knobs: Record<string, string>): Promise<EngineSpec> {
  const port = await freePort()
  const args = ['--dtype', 'bfloat16']
  const { argv } = buildArgv({
    profile: 'v1-overlay',
    version: '0.20.0',
    modelPath: '/models/tiny',
    servedName: 'Test/Tiny',
    port,
    args,
  })
  const env = Object.fromEntries(Object.entries({ LOAD_MS: '100', ...knobs }).map(([k, v]) => [`REHEARSAL_${k}`, v]))
  return {
    model: 'Test/Tiny',
    modelPath: '/models/tiny',
    slot: 0,
    gpus: [],
    port,
    profile: 'v1-overlay',
    argv: [program, ...argv],
    env: { PATH: '/usr/bin:/bin', ...env },
    python: process.execPath,
    hasPoc: true,
    args,
    owner: 'configuration',
  }
}

export function start(bed: Bed): EngineLife {
  return endedAfterwards(startEngine(bed.spec, bed.deps))
}

export function endedAfterwards(life: EngineLife): EngineLife {
  onTestFinished(async () => {
    await life.stop({ drain: false })
  })
  return life
}

export const whenPhase = (life: EngineLife, phase: Phase): Promise<Phase> =>
  until(life.phase, (now) => now === phase, AbortSignal.timeout(20_000))

export const alive = (pid: number): boolean => readProcStat(pid) !== undefined

/** Of everything that belongs to the life, as the next daemon would see it. */
export async function pidsOf(bed: Bed, life: EngineLife): Promise<readonly number[]> {
  const body = await adoptBody(join(bed.deps.livesFolder, life.id), { log: silentLog })
  return (await body?.pids()) ?? []
}
