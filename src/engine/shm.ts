// Segments in /dev/shm that a dead engine left behind (facts/vllm.md 2.9: 420 MB after kill -9). Only those go that this life
// had open, or that were made by our user during it, and that no living process has open.
import { readdir, readlink, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { listProcesses, readProcFile } from '../core/proc.ts'

const folder = '/dev/shm'
const ours = /^(psm_|nccl-|sem\.mp-)/

/**
 * Names of the segments that these processes have open or mapped now. Told by inode: sem_open makes a semaphore under another
 * name and links it, so that its maker's mapping reads `/dev/shm/sem.06NIKt (deleted)`.
 */
export async function findSegments(pids: readonly number[]): Promise<Set<string>> {
  const found = await Promise.all(pids.map(async (pid) => [...(await readMapped(pid)), ...(await readOpen(pid))]))
  const held = new Set(found.flat())
  const names = await listSegments()
  const inodes = await Promise.all(names.map((name) => readInode(join(folder, name))))
  return new Set(names.filter((_, at) => held.has(inodes[at])))
}

export type DeadLife = {
  /** What it had open while it lived. */
  segments: ReadonlySet<string>
  /** Wall clock, ms. */
  from: number
  to: number
}

/** Removes what the dead life left; returns the names. Call it when no process of it is left. */
export async function sweepSegments(life: DeadLife): Promise<string[]> {
  const names = await listSegments()
  if (names.length === 0) return []
  const candidates = await Promise.all(names.map((name) => isOfLife(name, life)))
  // Listed before we look who has what open: a segment that appears meanwhile is not in the list.
  const inUse = await findSegments(listProcesses().map((one) => one.pid))
  const left = names.filter((name, at) => candidates[at] && !inUse.has(name))
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

/** Inodes. A line of maps: `7fb4517dd000-7fb4517de000 rw-s 00000000 00:1b 43    /dev/shm/psm_68a90b3c`. */
async function readMapped(pid: number): Promise<(number | undefined)[]> {
  const maps = await readProcFile(pid, 'maps')
  return [...(maps ?? '').matchAll(/ (\d+) +\/dev\/shm\//g)].map((found) => Number(found[1]))
}

/** Inodes. */
async function readOpen(pid: number): Promise<(number | undefined)[]> {
  const fds = (await readdir(`/proc/${pid}/fd`).catch((): string[] => [])).map((fd) => `/proc/${pid}/fd/${fd}`)
  const links = await Promise.all(fds.map((fd) => readlink(fd).catch(() => '')))
  return Promise.all(fds.filter((_, at) => links[at]?.startsWith(`${folder}/`)).map(readInode))
}
