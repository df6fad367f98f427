// Segments in /dev/shm that a dead engine left behind (facts/vllm.md 2.9: 420 MB after kill -9). Only those go that this life
// had open, or that were made by our user during it, and that no living process has open.
import { readdir, readlink, stat, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { listProcesses, readProcFile } from '../core/proc.ts'

const folder = '/dev/shm'
const ours = /^(psm_|nccl-|sem\.mp-)/

/** Names of the segments that these processes have open or mapped now. */
export async function findSegments(pids: readonly number[]): Promise<Set<string>> {
  const found = await Promise.all(pids.map(async (pid) => [...(await readMapped(pid)), ...(await readOpen(pid))]))
  return new Set(found.flat().filter((name) => ours.test(name)))
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
  const names = (await readdir(folder).catch((): string[] => [])).filter((name) => ours.test(name))
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

async function readMapped(pid: number): Promise<string[]> {
  const maps = await readProcFile(pid, 'maps')
  return [...(maps ?? '').matchAll(/ \/dev\/shm\/([^\s/]+)/g)].map((found) => found[1] ?? '')
}

async function readOpen(pid: number): Promise<string[]> {
  const fds = await readdir(`/proc/${pid}/fd`).catch((): string[] => [])
  const links = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
  return links.filter((link) => link.startsWith(`${folder}/`)).map((link) => basename(link))
}
