// Knows when a life has ended: the keeper's exit file, watched. In case a watch is not to be had, or a keeper was killed before it
// wrote one: the kernel tells the end of our own child; a keeper that is none is asked for once a second, by a question that costs
// nothing. A whole look comes every five seconds.
import type { ChildProcess } from 'node:child_process'
import { existsSync, type FSWatcher, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { BodyRecord } from './body.ts'
import { isKeeperAlive } from './body-processes.ts'
import { toShared } from './clock.ts'
import { codeOf, isShortage } from './errors.ts'

/** ms between two questions. */
const askEvery = 1000
/** After so many of them: a pid may have found a new owner, or a dead keeper nobody to bury it. */
const wholeLook = 5

/** The exit status; undefined when the keeper vanished without leaving one. Holds no process open. */
export function whenExited(record: BodyRecord, child?: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve) => {
    const watchers: FSWatcher[] = []
    const isOver = startAsking(record, child !== undefined, look)
    watchQuietly(record.folder, look, watchers)
    if (record.cgroup) watchQuietly(join(record.cgroup, 'cgroup.events'), look, watchers)
    child?.once('exit', look)
    look()

    function look(): void {
      const found = readEnd(record)
      if (found === 'not yet') return
      isOver()
      for (const one of watchers) one.close()
      child?.removeListener('exit', look)
      resolve(found.code)
    }
  })
}

/** Calls `look` again and again until the function that it returns is called. Holds no process open. */
function startAsking(record: BodyRecord, isChild: boolean, look: () => void): () => void {
  let asked = 0
  const ask = () => {
    const next = isChild ? askEvery * wholeLook : askEvery
    timer = setTimeout(ask, toShared(performance.now(), next)).unref()
    asked += 1
    if (isChild || asked % wholeLook === 0 || !isThere(record.pid)) look()
  }
  let timer = setTimeout(ask, askEvery).unref()
  return () => clearTimeout(timer)
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
  const path = join(folder, 'exit')
  // Nearly always: an exception costs ten times as much as the question.
  if (!existsSync(path)) return undefined
  try {
    const text = readFileSync(path, 'utf8')
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
