// A state disk that is full or read-only must not cost the node: its state is then kept in the runtime folder, which outlives
// a restart of the daemon, and moves back with the one that follows the first look that finds the disk well. Lives are never moved: the other folder gets links to them, so that each is adopted where it is.
import type { Dirent } from 'node:fs'
import { cp, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../core/clock.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'

/** `trouble` says why it is not the state folder. */
export type StatePlace = { folder: string; trouble?: string }

/** Below the runtime folder. */
export const spareName = 'state'

/** As much as a boot writes, with room for a file system's own needs. */
const probeBytes = 131_072

/** Never rejects: where nothing can be written the parts say so themselves. */
export async function pickStatePlace(at: { stateDir: string; runDir: string; log: Log }): Promise<StatePlace> {
  const { stateDir, log } = at
  const spare = join(at.runDir, spareName)
  const trouble = await tryWriting(stateDir)
  if (trouble === undefined) {
    await carryOver(spare, stateDir, log)
    await forgetFiles(spare)
    return { folder: stateDir }
  }
  if ((await tryWriting(spare)) !== undefined) return { folder: stateDir, trouble }
  await carryOver(stateDir, spare, log)
  return { folder: spare, trouble: `${trouble}; state is kept in ${spare} until a reboot` }
}

/** ms; twice in a row, so that a disk that fills up at once again does not start us over and over. */
export const stateLooks = { every: 10_000, again: 2000 }

/** Resolves once the state folder can be written again, for the next daemon to move back; or with `abort`. Never rejects. */
export async function whenStateBack(
  stateDir: string,
  { abort, looks = stateLooks, clock = systemClock }: { abort: AbortSignal; looks?: typeof stateLooks; clock?: Clock },
): Promise<void> {
  const isBack = async () => (await tryWriting(stateDir)) === undefined
  while (!abort.aborted) {
    await clock.wait(looks.every, abort)
    if (!(await isBack())) continue
    await clock.wait(looks.again, abort)
    if (await isBack()) return
  }
}

async function tryWriting(folder: string): Promise<string | undefined> {
  const probe = join(folder, `.probe-${process.pid}`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 })
    await writeFile(probe, Buffer.alloc(probeBytes), { mode: 0o600 })
    return undefined
  } catch (error) {
    return messageOf(error)
  } finally {
    await rm(probe, { force: true }).catch(() => {})
  }
}

/** Our files (all are JSON, what else lies there is not ours) are copied, newest wins; what is inside a folder (lives, files of frpc) is linked. Nothing is removed. */
async function carryOver(from: string, to: string, log: Log): Promise<void> {
  for (const entry of await list(from)) {
    if (entry.name === 'voided' || entry.name.startsWith('.')) continue
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    try {
      if (isOurs(entry) && (await isNewer(source, target))) await cp(source, target, { preserveTimestamps: true })
      if (!entry.isDirectory()) continue
      await mkdir(target, { recursive: true, mode: 0o700 })
      for (const { name } of await list(source)) await link(join(source, name), join(target, name))
    } catch (error) {
      log.warn({ source, why: messageOf(error) }, 'stored state not carried over')
    }
  }
}

const isOurs = (entry: Dirent) => entry.isFile() && entry.name.endsWith('.json')

async function isNewer(source: string, target: string): Promise<boolean> {
  const [ours, theirs] = await Promise.all([stat(source), stat(target).catch(() => undefined)])
  return theirs === undefined || ours.mtimeMs > theirs.mtimeMs
}

/** What was carried back must not come back a second time; lives stay where they are until they end. */
async function forgetFiles(spare: string): Promise<void> {
  for (const entry of await list(spare))
    if (isOurs(entry)) await rm(join(spare, entry.name), { force: true }).catch(() => {})
}

async function link(source: string, target: string): Promise<void> {
  await symlink(source, target).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
}

const list = (folder: string) => readdir(folder, { withFileTypes: true }).catch(() => [])
