// Where a life is on disk: its folder below the state directory, and its log in LOG_DIR, which is shipped and outlives it.
import { copyFile, lstat, mkdir, open, readdir, realpath, rename, rm, stat, symlink, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'

/** `engine-0-20261121t075300123-k3f`: slot, wall clock, and chance for a clock that steps. */
export function toLifeId(slot: number, wall: number, random: number): string {
  const stamp = new Date(wall)
    .toISOString()
    .replaceAll(/[-:.Z]/g, '')
    .toLowerCase()
  return `engine-${slot}-${stamp}-${random.toString(36).slice(2, 6).padEnd(4, '0')}`
}

/** A launch has one engine in its life: `launch-ID` tells it in the journal, in cgroups and among the logs. */
export const toLaunchLifeId = (launch: string): string => `${launchPrefix}${launch}`

const launchPrefix = 'launch-'

export const toLogPath = (logDir: string, id: string): string => join(logDir, `${id}.log`)

/**
 * Makes the folder, with a `log` in it that leads to LOG_DIR; where LOG_DIR cannot be written the log stays in the folder, and
 * `say` hears why: a bad log disk costs no engine. @throws what the file system of the folder says
 */
export async function makeLifeFolder(folder: string, logPath: string, say: (why: string) => void): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o750 })
  try {
    await mkdir(dirname(logPath), { recursive: true, mode: 0o750 })
    await (await open(logPath, 'a', 0o640)).close()
    await symlink(resolve(logPath), join(folder, 'log'))
  } catch (error) {
    say(messageOf(error))
  }
}

/** After a launch that came to nothing: the folder, and the log where nothing was written. Never rejects. */
export async function dropLifeFolder(folder: string, logPath: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => {})
  const found = await stat(logPath).catch(() => undefined)
  if (found?.size === 0) await unlink(logPath).catch(() => {})
}

/** Whether this log of a folder is a file of its own: LOG_DIR could not be written when the life began. */
export const isStray = (log: string): Promise<boolean> =>
  lstat(log).then(
    (found) => found.isFile(),
    () => false,
  )

/** What becomes of the logs of dead lives. */
export type LogRules = {
  /** LOG_DIR */
  logDir: string
  /** For the logs of launches that have ended, where LOG_DIR could not have them; without it they are gone then. */
  keptLogs?: string
  /** Of each slot; 5 where not said. */
  keepLogs?: number
}

/**
 * Removes the folder of a dead life; its log stays, and of the logs of that slot only the newest. One that could not be
 * written to LOG_DIR is moved there now, or where that is still so, that of a launch to `keptLogs`.
 * @returns where it is, if not in LOG_DIR
 */
export async function removeLifeFolder(
  folder: string,
  { logDir, keptLogs, keepLogs: keep = 5 }: LogRules,
  slot: number,
): Promise<string | undefined> {
  const kept = await rescueLog(folder, { logDir, keptLogs })
  // What lies in the spare folder is linked from here: both go.
  const real = await realpath(folder).catch(() => folder)
  await rm(real, { recursive: true, force: true })
  if (real !== folder) await rm(folder, { recursive: true, force: true })
  await dropOldLogs({ logDir, slot, keep })
  return kept
}

async function rescueLog(
  folder: string,
  { logDir, keptLogs }: { logDir: string; keptLogs: string | undefined },
): Promise<string | undefined> {
  const [id, log] = [basename(folder), join(folder, 'log')]
  if (!(await isStray(log))) return undefined
  if (await moveLog(log, toLogPath(logDir, id))) return undefined
  const kept = keptLogs === undefined || !id.startsWith(launchPrefix) ? undefined : toLogPath(keptLogs, id)
  return kept !== undefined && (await moveLog(log, kept)) ? kept : undefined
}

/** Also to another disk. Never rejects; a half of it does not stay. */
async function moveLog(from: string, to: string): Promise<boolean> {
  try {
    await mkdir(dirname(to), { recursive: true, mode: 0o750 })
    await rename(from, to).catch(async (error: unknown) => {
      if (codeOf(error) !== 'EXDEV') throw error
      await copyFile(from, to).catch(async (worse: unknown) => {
        await unlink(to).catch(() => {})
        throw worse
      })
    })
    return true
  } catch {
    return false
  }
}

async function dropOldLogs({ logDir, slot, keep }: { logDir: string; slot: number; keep: number }): Promise<void> {
  const names = (await readdir(logDir).catch((): string[] => [])).filter(
    (name) => name.startsWith(`engine-${slot}-`) && name.endsWith('.log'),
  )
  const dated = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(logDir, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  )
  const old = dated.toSorted((a, b) => b.at - a.at).slice(keep)
  await Promise.all(old.map(({ name }) => unlink(join(logDir, name)).catch(() => {})))
}
