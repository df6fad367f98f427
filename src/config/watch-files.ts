// Notices that the env file or its folder of drop-ins is not what was read. Level, not edge: what counts is that the files
// differ from the fingerprint of the configuration in use, so that a change between reading and watching is not lost.
import { watch as watchPath, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import { onAbort } from '../core/abort.ts'
import { type Clock, systemClock, waitTogether } from '../core/clock.ts'
import { type ConfigPlaces, readFingerprint } from './sources.ts'

export type ConfigWatch = Pick<ConfigPlaces, 'file' | 'folder'> & {
  /** Of the configuration in use: `loaded.fingerprint`. */
  fingerprint: string
  abort: AbortSignal
  /** ms; for what fs.watch does not see: network file systems, folders that are not there yet. */
  poll?: number
  /** ms that the files must stay the same: editors and user-data write in pieces. */
  stable?: number
  clock?: Clock
}

/** Resolves when the files differ and have come to rest; with the new fingerprint, or undefined when aborted. Never rejects. */
export async function whenConfigChanged(options: ConfigWatch): Promise<string | undefined> {
  const { file, folder, fingerprint, abort, poll = 10_000, stable = 300, clock = systemClock } = options
  const bell = startBell([
    { folder: dirname(file), names: [basename(file), basename(folder)] },
    { folder, names: [] },
  ])
  try {
    let last = fingerprint
    while (!abort.aborted) {
      const found = await readFingerprint({ file, folder })
      if (found !== fingerprint && found === last) return found
      const settling = found !== last || found !== fingerprint
      last = found
      bell.watchAgain()
      // Settling must not be cut short by the next event: the same reading twice, `stable` apart, is what counts.
      await (settling ? clock.wait(stable, abort) : bell.wait(poll, clock, abort))
    }
    return undefined
  } finally {
    bell.close()
  }
}

type Watched = { folder: string; names: readonly string[] }

/** Rings when one of the names changes in its folder (any name where none is given). Folders that are not there are tried again. */
function startBell(all: readonly Watched[]) {
  const watchers = new Map<string, FSWatcher>()
  let nap = new AbortController()
  let rung = false
  const ring = () => {
    rung = true
    nap.abort()
  }
  const drop = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const watchOne = ({ folder, names }: Watched) => {
    if (watchers.has(folder)) return
    try {
      const watcher = watchPath(folder, { persistent: false }, (event, name) => {
        // The folder itself was moved or deleted: its watch is deaf from now on.
        if (event === 'rename' && name === basename(folder)) drop(folder)
        if (name === null || names.length === 0 || names.includes(name)) ring()
      })
      watcher.on('error', () => drop(folder))
      watchers.set(folder, watcher)
      // Something may have changed between the last reading and this watch.
      ring()
    } catch {
      // Not there, or no watches left: the poll sees it.
    }
  }
  return {
    watchAgain: () => all.forEach(watchOne),
    async wait(ms: number, clock: Clock, abort: AbortSignal): Promise<void> {
      if (!rung) {
        nap = new AbortController()
        const forget = onAbort(abort, () => nap.abort())
        await waitTogether(clock, ms, nap.signal)
        forget()
      }
      rung = false
    },
    close: () => [...watchers.keys()].forEach(drop),
  }
}
