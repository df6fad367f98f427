// Whatever outlives us (D13): an engine, a frpc. Launched and adopted look alike; the record is on disk before the spawn.
// Its parent is a keeper: a shell that stays, and leaves the exit status in the life's folder for whoever watches then.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { endProcesses, type Gently, signalAll } from './body-end.ts'
import { whenExited } from './body-exit.ts'
import { findProcesses, listNear, marker } from './body-processes.ts'
import { readRecord, writeRecord } from './body-record.ts'
import { findOwnCgroup, makeCgroup, removeCgroup } from './cgroup.ts'
import { type Clock, systemClock } from './clock.ts'
import { messageOf } from './errors.ts'
import type { Log } from './log.ts'
import { readBootId, readProcStat } from './proc.ts'

/** What to start. The folder is the life's own: `record.json`, `log`, `exit` (written by the keeper) live there. */
export type BodyPlan = {
  /** Unique per life; also the name of its cgroup. `[a-z0-9-]+` */
  id: string
  folder: string
  command: string
  args: readonly string[]
  /** The child's whole environment; nothing is inherited (NOTIFY_SOCKET, http_proxy and our secrets stay here). */
  env: Readonly<Record<string, string>>
  /** Where it listens, `http://127.0.0.1:5001`. */
  origin: string
  /** Whatever the part needs to recognise its life when it adopts it: spec, slot, GPUs. JSON-safe. */
  meta: unknown
}

export type BodyRecord = {
  id: string
  folder: string
  /** Of the keeper, which is leader of session and group. Absent between record and spawn. */
  pid?: number
  /** Field 22 of /proc/PID/stat: with the boot id it tells a recycled pid from ours. */
  startTime?: string
  bootId: string
  cgroup?: string
  origin: string
  launchedAt: string
  meta: unknown
}

export interface Body {
  readonly id: string
  readonly origin: string
  readonly record: BodyRecord
  readonly adopted: boolean
  /** Append-only, stdout and stderr of the life. Readable while the daemon is down. */
  readonly logPath: string
  /** Exit status from the keeper's file (128+n for signals), undefined when it vanished without one. */
  readonly exited: Promise<number | undefined>
  /** Every pid of it that is alive now, orphans of a dead leader included. */
  pids(): Promise<readonly number[]>
  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void
  /**
   * INT or TERM as `gently` says, then cgroup.kill (or the group), until no process is left. Resolves when proved gone;
   * rejects with a text that names the pids where even KILL did not help within 10 s (uninterruptible sleep).
   */
  end(gently: { signal: 'SIGINT' | 'SIGTERM'; patience: number }): Promise<void>
}

export type BodyDeps = {
  log: Log
  clock?: Clock
  /** Where the life's cgroup is made; our own where not given, none where empty. */
  cgroupParent?: string
}

// $1 cgroup or nothing, $2 folder, then the command. Each engine of vLLM needs many descriptors, hence the hard limit.
const keeper = `
if [ -n "$1" ]; then echo $$ > "$1/cgroup.procs"; fi 2>/dev/null
ulimit -n "$(ulimit -Hn)" 2>/dev/null
folder=$2; shift 2
trap : INT TERM
"$@"
echo $? > "$folder/exit.tmp"; command -p mv "$folder/exit.tmp" "$folder/exit"
`

/**
 * Starts the life, detached, its output appended to `<folder>/log`. Resolves once it is spawned and its pid is on disk; a
 * command that cannot be executed is an exit (126, 127) with the shell's words in the log.
 * @throws what the file system says (ENOSPC, EACCES) or spawn itself (EAGAIN): nothing was left running then
 */
export async function launchBody(plan: BodyPlan, deps: BodyDeps): Promise<Body> {
  await mkdir(plan.folder, { recursive: true, mode: 0o750 })
  const cgroup = makeCgroup(deps.cgroupParent ?? findOwnCgroup(), plan.id)
  const bare: BodyRecord = {
    id: plan.id,
    folder: plan.folder,
    bootId: readBootId(),
    ...(cgroup && { cgroup }),
    origin: plan.origin,
    launchedAt: new Date((deps.clock ?? systemClock).wall()).toISOString(),
    meta: plan.meta,
  }
  try {
    await writeRecord(bare)
    const child = await spawnKeeper(plan, cgroup)
    const record = withOwnPid(bare, child)
    // The life runs: a disk that is full now must not end it. Without its pid it is found by its marker.
    await writeRecord(record).catch((error: unknown) =>
      deps.log.warn({ life: plan.id, why: messageOf(error) }, 'pid not recorded'),
    )
    return createBody(record, { adopted: false, child, clock: deps.clock ?? systemClock })
  } catch (error) {
    removeCgroup(cgroup)
    throw error
  }
}

/**
 * The life of that folder, if any process of it is alive: its keeper, or orphans of a dead one (`exited` is then settled, and
 * end() gets rid of them). Undefined: nothing of it lives; the folder is yours to remove.
 * @throws where that cannot be told now (no descriptor left, a record that cannot be read)
 */
export async function adoptBody(folder: string, deps: BodyDeps): Promise<Body | undefined> {
  const found = await readRecord(folder)
  if (found.kind === 'bad') deps.log.warn({ folder, why: found.why }, 'record of a life cannot be read')
  const record = found.kind === 'value' ? found.value : unknownLife(folder)
  const living = await findProcesses(record)
  if (living.length === 0) {
    removeCgroup(record.cgroup)
    return undefined
  }
  // What it is cannot be told now: in doubt it stays.
  if (found.kind === 'bad' && found.error !== undefined)
    throw new Error(`record of a living engine or tunnel in ${folder} cannot be read`, { cause: found.error })
  const adopted = { adopted: true, clock: deps.clock ?? systemClock }
  if (record.pid !== undefined) return createBody(record, adopted)
  // A crash between record and spawn: the keeper is the one that leads a session.
  const found2 = living.find((one) => one.session === one.pid)
  const completed = withPid(record, found2?.pid)
  await writeRecord(completed).catch((error: unknown) =>
    deps.log.warn({ folder, why: messageOf(error) }, 'pid not recorded'),
  )
  return createBody(completed, adopted)
}

async function spawnKeeper(plan: BodyPlan, cgroup: string | undefined): Promise<ChildProcess> {
  const log = await open(join(plan.folder, 'log'), 'a', 0o640)
  try {
    const args = ['-c', keeper, 'keeper', cgroup ?? '', plan.folder, plan.command, ...plan.args]
    const child = spawn('/bin/sh', args, {
      cwd: plan.folder,
      env: { ...plan.env, [marker]: plan.id },
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    await once(child, 'spawn')
    child.unref()
    return child
  } finally {
    await log.close()
  }
}

/** @throws where it cannot be told from a later process of that number; it is ended then */
function withOwnPid(record: BodyRecord, child: ChildProcess): BodyRecord {
  try {
    return withPid(record, child.pid)
  } catch (error) {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    throw error
  }
}

function withPid(record: BodyRecord, pid: number | undefined): BodyRecord {
  const startTime = pid === undefined ? undefined : readProcStat(pid)?.startTime
  return pid === undefined ? record : { ...record, pid, startTime: startTime ?? 'gone' }
}

function unknownLife(folder: string): BodyRecord {
  const id = basename(folder)
  const own = findOwnCgroup()
  const launchedAt = new Date(0).toISOString()
  const known = { id, folder, bootId: readBootId(), origin: '', launchedAt, meta: undefined }
  return own ? { ...known, cgroup: join(own, id) } : known
}

function createBody(record: BodyRecord, how: { adopted: boolean; clock: Clock; child?: ChildProcess }): Body {
  let ending: Promise<void> | undefined
  return {
    id: record.id,
    origin: record.origin,
    record,
    adopted: how.adopted,
    logPath: join(record.folder, 'log'),
    exited: whenExited(record, how.child),
    pids: async () => (await findProcesses(record)).map((one) => one.pid),
    signal: (name) => signalAll(listNear(record), record, name),
    end: (gently: Gently) => {
      ending ??= endProcesses(record, gently, how.clock).catch((error: unknown) => {
        ending = undefined
        throw error
      })
      return ending
    },
  }
}
