// Segments in /dev/shm that a dead engine left behind (facts/vllm.md 2.9: 420 MB after kill -9). Only those go that this life
// had open, or that were made by our user during it, and that no living process has open.
import { open, readdir, readlink, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { listProcesses, readProcFile, readProcStat } from '../core/proc.ts'

const folder = '/dev/shm'
const ours = /^(psm_|nccl-|sem\.mp-)/

/** Names of the segments that these processes have open or mapped now. */
export async function findSegments(pids: readonly number[]): Promise<Set<string>> {
  return nameSegments((await lookInto(pids)).held)
}

export type DeadLife = {
  /** What it had open while it lived. */
  segments: ReadonlySet<string>
  /** Wall clock, ms. */
  from: number
  to: number
}

/** Who has what open. Inodes; silent: processes that live and did not answer. */
export type Holdings = { held: ReadonlySet<number>; silent: readonly number[] }

/**
 * Removes what the dead life left; returns the names. Call it when no process of it is left. As long as a living process does
 * not tell what it has open, only that goes which this life itself was seen to have: another engine may still load.
 */
export async function sweepSegments(
  life: DeadLife,
  look: (pids: readonly number[]) => Promise<Holdings> = lookInto,
): Promise<string[]> {
  const names = await listSegments()
  if (names.length === 0) return []
  const candidates = await Promise.all(names.map((name) => isOfLife(name, life)))
  // Listed before we look who has what open: a segment that appears meanwhile is not in the list.
  const { held, silent } = await lookAgain(look)
  const inUse = await nameSegments(held)
  const left = names.filter((name, at) => {
    const isKnown = silent.length === 0 || life.segments.has(name)
    return candidates[at] && isKnown && !inUse.has(name)
  })
  const gone = await Promise.all(
    left.map((name) =>
      unlink(join(folder, name)).then(
        () => true,
        () => false,
      ),
    ),
  )
  return left.filter((_, at) => gone[at])
}

/** On a busy machine a process may answer the second time. */
async function lookAgain(look: (pids: readonly number[]) => Promise<Holdings>): Promise<Holdings> {
  const first = await look(listProcesses().map((one) => one.pid))
  if (first.silent.length === 0) return first
  const second = await look(first.silent)
  return { held: new Set([...first.held, ...second.held]), silent: second.silent }
}

async function isOfLife(name: string, { segments, from, to }: DeadLife): Promise<boolean> {
  if (segments.has(name)) return true
  const found = await stat(join(folder, name)).catch(() => undefined)
  return found !== undefined && found.uid === process.getuid?.() && found.mtimeMs >= from && found.mtimeMs <= to
}

const listSegments = async (): Promise<string[]> =>
  (await readdir(folder).catch((): string[] => [])).filter((name) => ours.test(name))

const readInode = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  )

async function nameSegments(held: ReadonlySet<number>): Promise<Set<string>> {
  const names = await listSegments()
  const inodes = await Promise.all(names.map((name) => readInode(join(folder, name))))
  return new Set(names.filter((_, at) => held.has(inodes[at] ?? -1)))
}

/** Files are read by four threads. */
const atOnce = 16

/**
 * By inode: sem_open makes a semaphore under another name and links it, so that its maker's mapping reads
 * `/dev/shm/sem.06NIKt (deleted)`.
 */
async function lookInto(pids: readonly number[]): Promise<Holdings> {
  const held = new Set<number>()
  const silent: number[] = []
  const look = async (pid: number) => {
    const [mapped, opened] = await Promise.all([readMapped(pid), readOpen(pid)])
    for (const inode of [...(mapped ?? []), ...opened]) if (inode !== undefined) held.add(inode)
    if (!mapped && (await isReadable(pid))) silent.push(pid)
  }
  // Their bound is for the answer of one process, and not for the wait behind thousands of others.
  for (let at = 0; at < pids.length; at += atOnce) await Promise.all(pids.slice(at, at + atOnce).map(look))
  return { held, silent }
}

/** It lives, and is ours to look into: what we may not see cannot be another engine of ours. To open its maps waits for no lock. */
async function isReadable(pid: number): Promise<boolean> {
  const file = await open(`/proc/${pid}/maps`).catch(() => undefined)
  await file?.close()
  return file !== undefined && readProcStat(pid) !== undefined
}

/** Inodes; undefined where it is gone or does not answer. `7fb4517dd000-7fb4517de000 rw-s 00000000 00:1b 43    /dev/shm/psm_68a90b3c` */
async function readMapped(pid: number): Promise<number[] | undefined> {
  const maps = await readProcFile(pid, 'maps')
  return maps === undefined ? undefined : [...maps.matchAll(/ (\d+) +\/dev\/shm\//g)].map((found) => Number(found[1]))
}

/** Inodes. */
async function readOpen(pid: number): Promise<(number | undefined)[]> {
  const fds = (await readdir(`/proc/${pid}/fd`).catch((): string[] => [])).map((fd) => `/proc/${pid}/fd/${fd}`)
  const links = await Promise.all(fds.map((fd) => readlink(fd).catch(() => '')))
  return Promise.all(fds.filter((_, at) => links[at]?.startsWith(`${folder}/`)).map(readInode))
}
