// Engines listen on loopback at INFERENCE_PORT + 1 + slot; a port that somebody else holds is skipped, and we say who.
import { readFile, readdir, readlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename } from 'node:path'
import { codeOf } from '../core/errors.ts'

/** How many ports above the slot's own are tried. */
const reach = 64

export type PickedPort = { port: number | undefined; skipped: readonly { port: number; by: string }[] }

/** @param ours ports of our own listeners and living engines: they may not listen yet */
export async function pickPort(first: number, ours: ReadonlySet<number>): Promise<PickedPort> {
  const skipped: { port: number; by: string }[] = []
  for (let port = first; port < first + reach && port <= 65_535; port += 1) {
    if (ours.has(port)) continue
    if (await isFree(port)) return { port, skipped }
    skipped.push({ port, by: await describeHolder(port) })
  }
  return { port: undefined, skipped }
}

/** Free on loopback as a whole: whoever listens on all addresses holds it as well. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(codeOf(error) !== 'EADDRINUSE' && codeOf(error) !== 'EACCES'))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** `nginx (pid 812)`; without the right to look into other processes only what the kernel tells. */
export async function describeHolder(port: number): Promise<string> {
  const inode = await findInode(port)
  if (inode === undefined) return 'a process that is gone by now or in another network namespace'
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const fd of fds) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) !== `socket:[${inode}]`) continue
      // The thread's name (comm) of a Node or Python program says nothing.
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      return `${basename(command.split('\0')[0] ?? '') || 'unknown'} (pid ${pid})`
    }
  }
  return 'a process of another user'
}

async function findInode(port: number): Promise<string | undefined> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1)
    for (const line of lines) {
      const fields = line.trim().split(/\s+/)
      // 0A is LISTEN.
      if (fields[1]?.endsWith(local) && fields[3] === '0A') return fields[9]
    }
  }
  return undefined
}
