// The frp server of a rehearsal: it can vanish, freeze and come back.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { endWithUs } from './end-with-us.ts'
import type { MachineRoot } from './machine-root.ts'

export interface FrpServer {
  /** It runs already after startFrpServer; again after stop(). */
  start(): void
  /** SIGTERM, and SIGKILL after 2 s. */
  stop(): Promise<void>
  /** For example SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void
}

export function startFrpServer({ folder, frps }: MachineRoot): FrpServer {
  const state: { child?: ChildProcess } = {}
  const start = () => {
    const log = openSync(join(folder, 'log', 'frps.log'), 'a')
    state.child = spawn(frps.program, ['-c', frps.config], { stdio: ['ignore', log, log] })
    // A program that cannot be run: its tunnels say so.
    state.child.on('error', () => {})
    endWithUs(state.child)
    closeSync(log)
  }
  start()
  return {
    start,
    stop: () => endChild(state.child),
    signal: (name) => void state.child?.kill(name),
  }
}

async function endChild(child: ChildProcess | undefined): Promise<void> {
  if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const last = setTimeout(() => child.kill('SIGKILL'), 2000)
  await gone
  clearTimeout(last)
}
