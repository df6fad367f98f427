// Where a life is on disk: its folder below the state directory, and its log in LOG_DIR, which is shipped and outlives it.
import { mkdir, open, readdir, realpath, rm, stat, symlink, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { messageOf } from '../core/errors.ts'

/** `engine-0-20261121t075300123-k3f`: slot, wall clock, and chance for a clock that steps. */
export function toLifeId(slot: number, wall: number, random: number): string {
  const stamp = new Date(wall)
    .toISOString()
    .replaceAll(/[-:.Z]/g, '')
    .toLowerCase()
  return `engine-${slot}-${stamp}-${random.toString(36).slice(2, 6).padEnd(4, '0')}`
}

/** A launch has one engine in its life: `launch-ID` tells it in the journal, in cgroups and among the logs. */
export const toLaunchLifeId = (launch: string): string => `launch-${launch}`

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

/** Removes the folder of a dead life; its log stays, and of the logs of that slot only the newest `keep`. */
export async function removeLifeFolder(
  folder: string,
  keepLogs: { logDir: string; slot: number; keep: number },
): Promise<void> {
  // What lies in the spare folder is linked from here: both go.
  const real = await realpath(folder).catch(() => folder)
  await rm(real, { recursive: true, force: true })
  if (real !== folder) await rm(folder, { recursive: true, force: true })
  const { logDir, slot, keep } = keepLogs
  const names = (await readdir(logDir).catch((): string[] => [])).filter(
    (name) => name.startsWith(`engine-${slot}-`) && name.endsWith('.log'),
  )
  const dated = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(logDir, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  )
  const old = dated.toSorted((a, b) => b.at - a.at).slice(keep)
  await Promise.all(old.map(({ name }) => unlink(join(logDir, name)).catch(() => {})))
}
