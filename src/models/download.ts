// A whole model from the hub into the cache: listed, room checked, four files at a time, linked as huggingface_hub does it.
import { mkdir, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { judgeBackoff } from '../core/backoff.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { renderRepoFolder } from './cache-layout.ts'
import { downloadFile, toDiskTrouble } from './download-file.ts'
import type { Hub, HubFile, HubRepo } from './hub.ts'
import { pickFiles } from './pick-files.ts'
import { ModelTrouble } from './problems.ts'

export type DownloadDeps = {
  hub: Hub
  /** `$HF_HOME/hub` */
  cache: string
  log: Log
  clock?: Clock
  /** First wait after a broken attempt, ms. */
  retryFirst?: number
  /** An attempt without one new byte for so long, all retries together, gives up (node-api.md 1.8: 600 s). */
  giveUpAfter?: number
}

export type DownloadProgress = { bytesDone: number; bytesTotal: number }

const parallelFiles = 4
/** The rest of the disk is needed by logs and compile caches. */
const spareBytes = 256 * 2 ** 20
const retry = { factor: 2, cap: 30_000, jitter: 0.25, stable: 0 }

/** @returns the snapshot folder. @throws ModelTrouble, or the abort's reason; what came is kept */
export async function downloadModel(
  ref: { repo: string; revision?: string },
  deps: DownloadDeps,
  told: (progress: DownloadProgress) => void,
  abort: AbortSignal,
): Promise<string> {
  const revision = ref.revision ?? 'main'
  const repo = await withRetries(deps, abort, () => deps.hub.list(ref.repo, revision, abort))
  const files = pickFiles(repo.files)
  if (files.length === 0) throw new ModelTrouble('model-not-found', `${ref.repo} at ${revision} holds no files`)
  const folder = renderRepoFolder(deps.cache, ref.repo)
  try {
    await checkRoom(folder, files, deps.cache)
    await fetchAll(repo, files, { folder, deps, told, abort })
    await linkSnapshot(folder, repo, files)
    if (revision !== repo.commit) await writeRef(folder, revision, repo.commit)
  } catch (error) {
    throw toDiskTrouble(error, folder)
  }
  return join(folder, 'snapshots', repo.commit)
}

/** @throws ModelTrouble where what is still to come does not fit. */
async function checkRoom(folder: string, files: readonly HubFile[], cache: string): Promise<void> {
  await mkdir(join(folder, 'blobs'), { recursive: true })
  const blobs = [...new Map(files.map((file) => [file.hash, file])).values()]
  const open = await Promise.all(blobs.map((file) => missingBytes(join(folder, 'blobs', file.hash), file.size)))
  const needed = open.reduce((sum, bytes) => sum + bytes, 0)
  const { bavail, bsize } = await statfs(cache)
  const free = bavail * bsize
  if (needed === 0 || needed + spareBytes <= free) return
  throw new ModelTrouble(
    'model-disk-too-small',
    `${cache} has ${toGb(free)} GB free, ${toGb(needed)} GB are still to come`,
  )
}

async function missingBytes(blob: string, size: number): Promise<number> {
  for (const path of [blob, `${blob}.incomplete`]) {
    const found = await stat(path).catch(() => undefined)
    if (found) return Math.max(0, size - found.size)
  }
  return size
}

type Work = {
  folder: string
  deps: DownloadDeps
  told: (progress: DownloadProgress) => void
  abort: AbortSignal
}

/** The first file that fails for good stops the others. */
async function fetchAll(repo: HubRepo, files: readonly HubFile[], { folder, deps, told, abort }: Work): Promise<void> {
  const stop = new AbortController()
  const both = AbortSignal.any([abort, stop.signal])
  const done = new Map<string, number>()
  const waiting = [...new Map(files.map((file) => [file.hash, file])).values()]
  const bytesTotal = waiting.reduce((sum, file) => sum + file.size, 0)
  const fetchNext = async (): Promise<void> => {
    for (let file = waiting.shift(); file && !both.aborted; file = waiting.shift()) {
      const { hash } = file
      const progress = (bytes: number) => {
        done.set(hash, bytes)
        told({ bytesDone: [...done.values()].reduce((sum, one) => sum + one, 0), bytesTotal })
      }
      const task = {
        hub: deps.hub,
        repo: repo.repo,
        commit: repo.commit,
        file,
        blobs: join(folder, 'blobs'),
        abort: both,
      }
      await withRetries(deps, both, (alive) =>
        downloadFile({
          ...task,
          progress: (bytes) => {
            if (bytes > (done.get(hash) ?? 0)) alive()
            progress(bytes)
          },
        }),
      )
    }
  }
  const workers = Array.from({ length: parallelFiles }, () =>
    fetchNext().catch((error: unknown) => {
      stop.abort()
      throw error
    }),
  )
  const ends = await Promise.allSettled(workers)
  abort.throwIfAborted()
  // Those that were stopped by us failed with an abort: the cause is the one that did not.
  const failed = ends.filter((end) => end.status === 'rejected').map((end): unknown => end.reason)
  if (failed.length > 0) throw failed.find((error) => error instanceof ModelTrouble) ?? failed[0]
}

/** Only what may pass by itself is tried again; each byte of progress forgets the failures. */
async function withRetries<T>(
  deps: DownloadDeps,
  abort: AbortSignal,
  run: (alive: () => void) => Promise<T>,
): Promise<T> {
  const { clock = systemClock, retryFirst = 500, giveUpAfter = 600_000, log } = deps
  const state = { failures: 0, aliveAt: clock.now(), hashFailures: 0 }
  for (;;) {
    try {
      return await run(() => {
        state.failures = 0
        state.aliveAt = clock.now()
      })
    } catch (error) {
      abort.throwIfAborted()
      if (!(error instanceof ModelTrouble)) throw error
      const { code } = error.problem
      // A wrong hash once is a broken transfer; twice is a broken hub.
      const passing = code === 'hub-unreachable' || (code === 'model-download-failed' && (state.hashFailures += 1) < 2)
      if (!passing || clock.now() - state.aliveAt >= giveUpAfter) throw error
      state.failures += 1
      const wait = judgeBackoff({ ...retry, first: retryFirst }, state.failures, Math.random())
      log.warn({ problem: error.problem, wait }, 'a download broke off and goes on')
      await clock.wait(wait, abort)
      abort.throwIfAborted()
    }
  }
}

/** snapshots/COMMIT/path → ../../blobs/HASH, relative, each replaced whole. */
async function linkSnapshot(folder: string, repo: HubRepo, files: readonly HubFile[]): Promise<void> {
  const snapshot = join(folder, 'snapshots', repo.commit)
  for (const file of files) {
    const link = join(snapshot, file.path)
    await mkdir(dirname(link), { recursive: true })
    const beside = `${link}.${process.pid}.tmp`
    await rm(beside, { force: true })
    await symlink(relative(dirname(link), join(folder, 'blobs', file.hash)), beside)
    await rename(beside, link)
  }
}

async function writeRef(folder: string, revision: string, commit: string): Promise<void> {
  const path = join(folder, 'refs', revision)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.tmp`, commit)
  await rename(`${path}.tmp`, path)
}

export function toGb(bytes: number): string {
  return (bytes / 1e9).toFixed(1)
}
