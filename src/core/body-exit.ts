// Knows when a life has ended: the keeper's exit file, watched. In case a watch is not to be had, or a keeper was killed before it
// wrote one, the keeper itself is asked for once a second, by a question that costs nothing; a whole look comes every five.
import type { ChildProcess } from 'node:child_process'
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { BodyRecord } from './body.ts'
import { isKeeperAlive } from './body-processes.ts'
import { codeOf, isShortage } from './errors.ts'

/** After so many questions: a pid may have found a new owner, or a dead keeper nobody to bury it. */
const wholeLook = 5

/** The exit status; undefined when the keeper vanished without leaving one. Holds no process open. */
export function whenExited(record: BodyRecord, child?: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve) => {
    const watchers: FSWatcher[] = []
    let asked = 0
    const timer = setInterval(() => {
      asked += 1
      if (asked % wholeLook === 0 || !isThere(record.pid)) look()
    }, 1000)
    timer.unref()
    watchQuietly(record.folder, look, watchers)
    if (record.cgroup) watchQuietly(join(record.cgroup, 'cgroup.events'), look, watchers)
    child?.once('exit', look)
    look()

    function look(): void {
      const found = readEnd(record)
      if (found === 'not yet') return
      clearInterval(timer)
      for (const one of watchers) one.close()
      child?.removeListener('exit', look)
      resolve(found.code)
    }
  })
}

/** Signal 0 opens no file, unlike a look at /proc. */
function isThere(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** What cannot be looked at for want of descriptors has not ended: an engine would be killed for it. */
function readEnd(record: BodyRecord): { code: number | undefined } | 'not yet' {
  try {
    // Alive is asked first: a keeper seen dead has written its file before.
    const alive = isKeeperAlive(record)
    const code = readExitStatus(record.folder)
    return code === undefined && alive ? 'not yet' : { code }
  } catch {
    return 'not yet'
  }
}

/** What the keeper left; undefined where it was killed before. @throws where we are out of descriptors */
export function readExitStatus(folder: string): number | undefined {
  try {
    const text = readFileSync(join(folder, 'exit'), 'utf8')
    return /^\d+\n$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (isShortage(error)) throw error
    return undefined
  }
}

function watchQuietly(path: string, look: () => void, watchers: FSWatcher[]): void {
  try {
    const watcher = watch(path, { persistent: false }, look)
    watcher.on('error', () => watcher.close())
    watchers.push(watcher)
  } catch {
    // No inotify watch left, or no such file: the timer looks.
  }
}
