// Whatever outlives us (D13): an engine, a frpc. Launched and adopted look alike; the record is on disk before the spawn.

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
