// Runs the daemon as systemd would: started again after any end that was not asked for, but not after exit 78.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { endWithUs } from './end-with-us.ts'

export interface DaemonChild {
  /** Of the daemon that runs now. */
  pid(): number | undefined
  /** Exit status 78, or the end that was asked for; any end where it is not kept running. 128 for a signal. */
  readonly ended: Promise<number>
  /** SIGTERM, and SIGKILL when that takes longer than a unit would wait. */
  stop(): Promise<void>
}

/** Of gonka-node.service: TimeoutStopSec. */
const patience = 150_000

export type DaemonOptions = {
  envFile: string
  logFile: string
  /** More variables of the process: they win over the file's. */
  environment?: Readonly<Record<string, string>>
  /** False: it is not started again. */
  keep?: boolean
}

export function startDaemon(options: DaemonOptions): DaemonChild {
  const state: { child?: ChildProcess; stopping: boolean } = { stopping: false }
  const bin = join(import.meta.dirname, '..', import.meta.filename.endsWith('.ts') ? 'bin.ts' : 'bin.js')
  const ended = keep()
  return {
    pid: () => state.child?.pid,
    ended,
    async stop() {
      state.stopping = true
      state.child?.kill('SIGTERM')
      const last = setTimeout(() => state.child?.kill('SIGKILL'), patience)
      await ended
      clearTimeout(last)
    },
  }

  async function keep(): Promise<number> {
    for (;;) {
      const log = openLog(options.logFile)
      const child = spawn(process.execPath, [bin, 'run'], {
        env: { ...toEnvironment(options.envFile), ...options.environment },
        stdio: ['ignore', log, log],
      })
      if (log !== 'ignore') closeSync(log)
      state.child = child
      endWithUs(child)
      const code = await new Promise<number>((resolve) =>
        child.once('exit', (status, signal) => resolve(status ?? (signal ? 128 : 1))),
      )
      if (state.stopping || code === 78 || options.keep === false) return code
      await new Promise((resolve) => setTimeout(resolve, 500))
      if (state.stopping) return code
    }
  }
}

/** The daemon's own to write: neither our end nor a full disk takes its output from it. */
function openLog(path: string): number | 'ignore' {
  try {
    return openSync(path, 'a', 0o600)
  } catch {
    return 'ignore'
  }
}

/** The settings of a rehearsal come from its env file; what the shell has set must not change them. */
function toEnvironment(envFile: string): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, LANG } = process.env
  return { PATH, HOME, ...(TMPDIR && { TMPDIR }), ...(LANG && { LANG }), GONKA_ENV_FILE: envFile }
}
