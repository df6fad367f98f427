// Who listens on a port. Reads /proc only: after a listen has failed, and once when an engine becomes ready.
import { codeOf } from './errors.ts'
import { readdir, readFile, readlink } from 'node:fs/promises'

export type PortHolder = { pid: number; program: string }

/** Undefined where /proc does not tell: another user's process seen without privileges. Never throws. */
export async function findPortHolder(port: number): Promise<PortHolder | undefined> {
  const inodes = await findListening(port)
  if (inodes.size === 0) return undefined
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) if (await holdsAny(pid, inodes)) return { pid: Number(pid), program: await readProgram(pid) }
  return undefined
}

/** Whether one of these processes listens on the port. Undefined where /proc does not tell. Never throws. */
export async function isHeldBy(port: number, pids: readonly number[]): Promise<boolean | undefined> {
  const inodes = await findListening(port)
  if (inodes.size === 0) return undefined
  const held = await Promise.all(pids.map((pid) => holdsAny(String(pid), inodes)))
  if (held.includes(true)) return true
  return held.includes(undefined) ? undefined : false
}

async function findListening(port: number): Promise<Set<string>> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readText))
  return new Set(tables.flatMap((table) => parseListening(table, port)))
}

/** Inodes of the sockets that listen on `port` in a table of /proc/net. Pure. */
export function parseListening(table: string, port: number): string[] {
  // A busy machine has tens of thousands of lines, and an engine waits for this one.
  const mark = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  return table.split('\n').flatMap((line) => {
    if (!line.includes(mark)) return []
    const columns = line.trim().split(/\s+/)
    const [local, state, inode] = [columns[1] ?? '', columns[3], columns[9]]
    const listens = state === '0A' && Number.parseInt(local.split(':').at(-1) ?? '', 16) === port
    return listens && inode ? [inode] : []
  })
}

/** Undefined: its descriptors are not ours to see. */
async function holdsAny(pid: string, inodes: ReadonlySet<string>): Promise<boolean | undefined> {
  const names = await readdir(`/proc/${pid}/fd`).catch((error: unknown) =>
    codeOf(error) === 'ENOENT' ? [] : undefined,
  )
  if (names === undefined) return undefined
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')))
  return links.some((link) => inodes.has(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ''))
}

/** The first words of its command line: enough to know it, too little to carry a secret. */
async function readProgram(pid: string): Promise<string> {
  const [command = '', script = ''] = (await readText(`/proc/${pid}/cmdline`)).split('\0')
  const program = command || (await readText(`/proc/${pid}/comm`)).trim()
  return /^[^-]\S*\.(?:ts|js|py|sh)$/.test(script) ? `${program} ${script}` : program
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}
