// Which living processes belong to a life. A pid alone proves nothing; proof is one of: the life's cgroup; the session or
// group of a keeper whose start time still matches; the life's marker in the process's environment; or, with the keeper
// dead, its session and an environment that the process has overwritten (vLLM's workers rename themselves that way).
import type { BodyRecord } from './body.ts'
import { readCgroupPids } from './cgroup.ts'
import { listProcesses, type ProcStat, readBootId, readProcFile, readProcStat } from './proc.ts'

/** Every descendant inherits it, also one that left the session. */
export const marker = 'GONKA_LIFE'

export function isKeeperAlive(record: BodyRecord): boolean {
  if (record.pid === undefined || record.bootId !== readBootId()) return false
  return readProcStat(record.pid)?.startTime === record.startTime
}

/** A descriptor each: a machine with thousands of processes must not use ours up. */
const atOnce = 32

/** Cheap and sync: the cgroup, and the session and group of a living keeper. */
export function listNear(record: BodyRecord): ProcStat[] {
  if (record.bootId !== readBootId()) return []
  const inCgroup = new Set(readCgroupPids(record.cgroup))
  const keeper = isKeeperAlive(record) ? record.pid : undefined
  return listProcesses().filter((one) => inCgroup.has(one.pid) || one.session === keeper || one.group === keeper)
}

/** Everything that is proven, orphans included. Reads the environment of the processes that are not decided yet. */
export async function findProcesses(record: BodyRecord): Promise<ProcStat[]> {
  if (record.bootId !== readBootId()) return []
  const near = new Map(listNear(record).map((one) => [one.pid, one]))
  const others = listProcesses().filter((one) => !near.has(one.pid) && one.pid !== process.pid)
  const proven: ProcStat[] = []
  for (let at = 0; at < others.length; at += atOnce) {
    const some = others.slice(at, at + atOnce)
    const are = await Promise.all(some.map((one) => isOrphanOf(record, one)))
    proven.push(...some.filter((_, index) => are[index]))
  }
  return [...near.values(), ...proven]
}

async function isOrphanOf(record: BodyRecord, one: ProcStat): Promise<boolean> {
  const environ = await readProcFile(one.pid, 'environ')
  if (environ === undefined) return false
  // Between listing and reading the pid may have found a new owner.
  if (readProcStat(one.pid)?.startTime !== one.startTime) return false
  if (environ.split('\0').includes(`${marker}=${record.id}`)) return true
  // The kernel keeps a session's number taken while a member lives; a new leader of that number has another start time.
  return (
    record.pid !== undefined &&
    one.session === record.pid &&
    one.pid !== record.pid &&
    readProcStat(record.pid) === undefined &&
    !/(^|\0)\w+=/.test(environ) &&
    !isKernelThread(one)
  )
}

const isKernelThread = (one: ProcStat): boolean => one.ppid === 2 || one.pid === 2
