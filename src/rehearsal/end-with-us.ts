// A child of a rehearsal that is killed ends all the same: a shell holds the other end of a pipe, and asks the child to end when
// the pipe closes.
import { type ChildProcess, spawn } from 'node:child_process'

export function endWithUs(child: ChildProcess): void {
  if (child.pid === undefined) return
  // CONT: it may be frozen on purpose. Of its own session: Ctrl-C is for us.
  const script = 'read -r _; kill -TERM "$0"; kill -CONT "$0"'
  const watcher = spawn('/bin/sh', ['-c', script, String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
    detached: true,
  })
  watcher.on('error', () => {})
  watcher.stdin.on('error', () => {})
  watcher.unref()
  // Its pid may be another's from now on.
  child.once('exit', () => watcher.kill('SIGKILL'))
}
