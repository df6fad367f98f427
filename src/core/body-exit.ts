// Knows when a life has ended: the keeper's exit file, watched, with a look once a second in case a watch is not to be had.
import type { ChildProcess } from 'node:child_process'
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { BodyRecord } from './body.ts'
import { isKeeperAlive } from './body-processes.ts'
import { isShortage } from './errors.ts'

/** The exit status; undefined when the keeper vanished without leaving one. Holds no process open. */
export function whenExited(record: BodyRecord, child?: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve) => {
    const watchers: FSWatcher[] = []
    const timer = setInterval(look, 1000)
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

/** What cannot be looked at for want of descriptors has not ended: an engine would be killed for it. */
function readEnd(record: BodyRecord): { code: number | undefined } | 'not yet' {
  try {
    // Alive is asked first: a keeper seen dead has written its file before.
    const alive = isKeeperAlive(record)
    const code = readExit(record.folder)
    return code === undefined && alive ? 'not yet' : { code }
  } catch {
    return 'not yet'
  }
}

/** @throws where we are out of descriptors */
function readExit(folder: string): number | undefined {
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
