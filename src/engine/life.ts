// The lives of engines as the fleet sees them: started, or adopted from the daemon before, ended only when asked or dead.
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'
import { adoptBody, type Body } from '../core/body.ts'
import { readExitStatus } from '../core/body-exit.ts'
import { readRecord } from '../core/body-record.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { codeOf, isShortage, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { readBootId } from '../core/proc.ts'
import { explainExit } from './explain-exit.ts'
import { finishRemains } from './finish-remains.ts'
import { launchLife } from './launch-life.ts'
import { type LogRules, removeLifeFolder, toLaunchLifeId, toLifeId, toLogPath } from './life-folder.ts'
import { runLife } from './run-life.ts'
import { findSegments, sweepSegments } from './shm.ts'
import { readSpec } from './spec.ts'
import { findStanding } from './standing.ts'
import type { Upstream } from './upstream.ts'

export type EngineSpec = {
  /** Served name. */
  model: string
  modelPath: string
  slot: number
  gpus: readonly number[]
  port: number
  profile: ProfileName
  /** After the python path. */
  argv: readonly string[]
  env: Record<string, string>
  python: string
  hasPoc: boolean
  /** As wished, for equivalence. */
  args: readonly string[]
  owner: string
  /** Digest of the secrets in `env` (fleet/secret-digest.ts); absent where it could not be made. */
  secrets?: string | undefined
}

export type Phase = 'launching' | 'loading' | 'serving' | 'ending' | 'gone'

export type Progress = { stage?: string; percent?: number }

export type End =
  | { why: 'exited'; code: number | undefined }
  | { why: 'asked' }
  | { why: 'left' }
  | { why: 'never-ready' | 'stuck'; problem: Problem }
  /** While no daemon was there; what is told of is the end of the wait for its GPU memory. */
  | { why: 'found-dead'; problem: Problem }

export interface EngineLife {
  readonly id: string
  readonly spec: EngineSpec
  readonly upstream: Upstream
  readonly phase: ReadonlySignal<Phase>
  readonly progress: ReadonlySignal<Progress>
  /** What is wrong right now: it serves and says that it cannot; it ends and its processes or its GPU memory stay. */
  readonly problem: ReadonlySignal<Problem | undefined>
  /** Why it ends or has ended, where nobody asked for it; known while it still ends. */
  readonly cause: ReadonlySignal<Problem | undefined>
  /** When it came into the phase that it is in, or was parked. */
  readonly since: ReadonlySignal<Date>
  /** Of vLLM's API server (of its keeper where the kernel does not tell children); undefined before and after it runs. */
  readonly pid: number | undefined
  readonly adopted: boolean
  /** In LOG_DIR; stays after the end. Where it could not be written: `strayLog`. */
  readonly logPath: string
  /** The log that is not in LOG_DIR: in the life's folder, after the end of a launch in `keptLogs`. */
  readonly strayLog?: string | undefined
  readonly startedAt: Date
  /** Hidden from the data path, alive (D5). Idempotent; also while it loads. */
  park(): void
  unpark(): void
  /**
   * Resolves when it is proved gone: process, GPU memory where asked, shared memory. A second call that does not drain ends
   * the drain of the first.
   */
  stop(how?: { drain: boolean }): Promise<End>
  /** It runs on; the next daemon adopts it, also where nothing but its GPU memory is left. */
  leave(): void
  /** Its GPU memory is waited for no longer: whoever says so starts on these GPUs next. Nothing happens while a process lives. */
  letGo(): void
  /** After the end: nobody starts on its GPUs before a look says that they are free. It was let go, or others have memory there. */
  readonly memoryKept: boolean
  /** `problem` for every end that was not asked for, whatever the exit code (D3). Never rejects. */
  readonly ended: Promise<{ end: End; problem?: Problem }>
}

export type EngineDeps = LogRules & {
  log: Log
  clock?: Clock
  /** One folder per life. */
  livesFolder: string
  /** For a life that cannot be kept there: below the runtime folder (host/spare-state.ts), where the next daemon looks as well. */
  spareFolder?: string | undefined
  /** Told with each launch: why the life could not be kept in `livesFolder`. */
  onTrouble?: (why: string | undefined) => void
  /** Told of each engine of the daemon before that ended while nobody looked. */
  onDead?: (id: string, dead: DeadEngine) => void
  /** ms: load without progress, patience of an end, drain, grace of a hang (0 = off). */
  times: { start: number; stop: number; drain: number; hangGrace: number }
  /** For engines that have other patience than that. */
  timesOf?: (owner: string) => EngineDeps['times']
  /** Bytes of log that a running engine keeps. */
  keepLog?: number
  /** Resolves when it is proved that nothing of ours is left in the memory of these GPUs; rejects when `abort` comes. */
  gpuMemoryBack?: (gpus: readonly number[], how: MemoryWait) => Promise<'free' | 'others'>
  cgroupParent?: string
}

/** @param onHeld told why, after each look that does not prove it */
export type MemoryWait = { abort: AbortSignal; onHeld: (evidence: string) => void }

export type DeadEngine = { problem: Problem; /** If not in LOG_DIR. */ strayLog: string | undefined }

/** A serving vLLM ends within 2 s of SIGTERM (facts/vllm.md 2.9); one that loads is killed. */
const unknownPatience = 5000

/** Returns at once in phase `launching`; a launch that fails is an end like any other. */
export function startEngine(spec: EngineSpec, deps: EngineDeps): EngineLife {
  const clock = deps.clock ?? systemClock
  const asked = spec.owner.startsWith('launch:') ? spec.owner.slice('launch:'.length) : undefined
  const id = asked === undefined ? toLifeId(spec.slot, clock.wall(), Math.random()) : toLaunchLifeId(asked)
  const logPath = toLogPath(deps.logDir, id)
  const body = () => launchLife(id, spec, deps)
  return runLife({ id, spec, deps, clock, logPath, startedAt: new Date(clock.wall()), body, adopted: false })
}

/**
 * Every engine of an earlier daemon that lives, loading ones included; one whose leader died while orphans live comes back,
 * too, and ends by itself. Of dead ones the log stays, and a life that ends when their GPU memory is back. One that nothing is
 * known of (its folder was deleted) is ended: the same model would be loaded beside it.
 * @throws where an engine may live that is not adopted (no descriptor left, a folder that cannot be listed, a record that cannot
 * be read, a process that does not end): ask again, and launch nothing
 */
export async function adoptEngines(folder: string, deps: EngineDeps): Promise<EngineLife[]> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
  const places = deps.spareFolder === undefined ? [folder] : [folder, deps.spareFolder]
  const all = new Set([...names, ...(await findStanding(places))])
  const adopted = await Promise.allSettled([...all].map((name) => adoptOne(join(folder, name), deps)))
  const found = adopted.flatMap((one) => (one.status === 'fulfilled' && one.value ? [one.value] : []))
  const failed = adopted.find((one) => one.status === 'rejected')
  if (!failed) return found
  // Asked again, each would be watched twice.
  for (const life of found) life.leave()
  await Promise.all(found.map(({ ended }) => ended))
  throw failed.reason
}

async function adoptOne(folder: string, deps: EngineDeps): Promise<EngineLife | undefined> {
  const clock = deps.clock ?? systemClock
  const body = await adoptBody(folder, deps)
  const id = basename(folder)
  const spec = body && readSpec(body.record.meta)
  if (body && !spec) await endUnknown(body, deps)
  if (!body || !spec)
    return bury(folder, deps, clock).catch((error: unknown) => {
      if (isShortage(error)) throw error
      deps.log.error({ err: error, life: id }, 'what is left of a dead engine stays')
      return undefined
    })
  const logPath = toLogPath(deps.logDir, id)
  const startedAt = new Date(body.record.launchedAt)
  return runLife({ id, spec, deps, clock, logPath, startedAt, body: () => Promise.resolve(body), adopted: true })
}

/** Nobody can say what it serves, and whether it does: there is nothing to drain. */
async function endUnknown(body: Body, { log }: EngineDeps): Promise<void> {
  log.warn({ life: body.id }, 'an engine of which no record tells is ended')
  const segments = await findSegments(await body.pids())
  await body.end({ signal: 'SIGTERM', patience: unknownPatience })
  await sweepSegments({ segments, from: Infinity, to: 0 }).catch((error: unknown) =>
    log.warn({ why: messageOf(error) }, 'shared memory not swept'),
  )
}

/** It died while nobody looked: say why, sweep, and forget it. @returns what waits for its GPU memory, which a reboot frees */
async function bury(folder: string, deps: EngineDeps, clock: Clock): Promise<EngineLife | undefined> {
  const record = await readRecord(folder)
  let problem: Problem | undefined
  if (record.kind === 'value') {
    problem = await explainExit(join(folder, 'log'), readExitStatus(folder), 2000)
    const { code, evidence } = problem
    deps.log.warn({ life: record.value.id, code, evidence }, 'engine died while we were away')
    const from = Date.parse(record.value.launchedAt)
    await sweepSegments({ segments: new Set(), from, to: clock.wall() }).catch((error: unknown) =>
      deps.log.warn({ why: messageOf(error) }, 'shared memory not swept'),
    )
  }
  const spec = record.kind === 'value' && record.value.bootId === readBootId() ? readSpec(record.value.meta) : undefined
  if (record.kind === 'value' && spec && problem && deps.gpuMemoryBack && spec.gpus.length > 0)
    return finishRemains({ record: record.value, spec, problem, deps, clock })
  const slot = Number(/^engine-(\d+)-/.exec(basename(folder))?.[1] ?? -1)
  const strayLog = await removeLifeFolder(folder, deps, slot)
  if (problem) deps.onDead?.(basename(folder), { problem, strayLog })
  return undefined
}
