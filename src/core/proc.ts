// What /proc tells about processes. Zombies count as gone: they hold no memory, no port and no file.
import { readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { systemClock } from './clock.ts'
import { isShortage } from './errors.ts'

export type ProcStat = {
  pid: number
  ppid: number
  group: number
  session: number
  /** Field 22: ticks since boot. With the boot id it tells a recycled pid from ours. */
  startTime: string
}

/**
 * Undefined where there is no such process any more. Sync: /proc/PID/stat never waits for the process.
 * @throws where we are out of descriptors: a process that cannot be looked at is not dead
 */
export function readProcStat(pid: number): ProcStat | undefined {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch (error) {
    return toAbsent(error)
  }
}

function toAbsent(error: unknown): undefined {
  if (isShortage(error)) throw error
}

/** The name in parentheses may hold blanks and parentheses itself, so fields are counted from the last one. */
export function parseProcStat(text: string): ProcStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, ppid, group, session] = fields
  if (group === undefined || state === 'Z' || state === 'X') return undefined
  return {
    pid: Number.parseInt(text, 10),
    ppid: Number(ppid),
    group: Number(group),
    session: Number(session),
    startTime: fields[19] ?? '',
  }
}

export function listProcesses(): ProcStat[] {
  const found: ProcStat[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readProcStat(Number(name))
    if (stat) found.push(stat)
  }
  return found
}

/** The eldest child; undefined without one, and where the kernel does not tell. */
export function readFirstChild(pid: number): number | undefined {
  return Number.parseInt(readNow(`/proc/${pid}/task/${pid}/children`) ?? '', 10) || undefined
}

/**
 * The program that the keeper `pid` runs: its child, once that has become the program. Undefined before and after that; the keeper
 * itself where this kernel does not tell children.
 */
export function readKept(pid: number): number | undefined {
  const children = readNow(`/proc/${pid}/task/${pid}/children`)
  if (children === undefined) return readProcStat(pid) && pid
  const child = Number.parseInt(children, 10)
  if (!child) return undefined
  const argv = readNow(`/proc/${child}/cmdline`)
  // Between fork and exec it is a copy of the keeper.
  return argv && argv !== readNow(`/proc/${pid}/cmdline`) ? child : undefined
}

function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/**
 * A file below /proc/PID that may wait for the process's memory lock (environ, maps): bounded by 1 s. Undefined where it is
 * gone, another user's, or does not answer.
 */
export async function readProcFile(pid: number, name: 'environ' | 'maps'): Promise<string | undefined> {
  try {
    return await readWithin(`/proc/${pid}/${name}`, 1000)
  } catch (error) {
    return toAbsent(error)
  }
}

const stuck = new Set<string>()

/**
 * Undefined where it does not come within `ms`. A read that hangs in the kernel cannot be cancelled and holds a thread of the pool,
 * which has four: the same file is not read once more before it came back. @throws what the file system says
 */
export async function readWithin(path: string, ms: number): Promise<string | undefined> {
  if (stuck.has(path)) return undefined
  const over = new AbortController()
  const reading = readFile(path, 'latin1')
  const free = () => void stuck.delete(path)
  const late = systemClock.wait(ms, over.signal).then(() => {
    if (over.signal.aborted) return undefined
    stuck.add(path)
    void reading.then(free, free)
    return undefined
  })
  return Promise.race([reading, late]).finally(() => over.abort())
}

const seen: { bootId?: string } = {}

/** Changes with every boot of the machine; read once. `unknown` where the kernel does not tell. */
export function readBootId(): string {
  try {
    return (seen.bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  } catch (error) {
    return toAbsent(error) ?? 'unknown'
  }
}
