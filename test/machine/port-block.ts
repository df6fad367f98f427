// A place of its own for each world: ports, and a loopback address for what is outside, where nobody listens any more.
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'

export type PortBlock = { base: number; host: string; release(): Promise<void> }

/** Blocks of 40 ports below the ephemeral range. */
export const blocks = 400
const size = 40

/**
 * Held by a listener on its last port for as long as the world is there. A block in which something else listens is left to it:
 * what a killed run left behind, for example.
 */
export async function reservePorts(pick = () => randomInt(0, blocks)): Promise<PortBlock> {
  for (;;) {
    const number = pick()
    const base = 12_000 + number * size
    const host = `127.${1 + (number % 250)}.${77 + Math.floor(number / 250)}.1`
    const guard = await listen(base + size - 1)
    if (!guard) continue
    const release = () => new Promise<void>((resolve) => guard.close(() => resolve()))
    const inWay = (await readListening()).some(
      ({ address, port }) => address === host || (port >= base && port < base + size - 1),
    )
    if (!inWay) return { base, host, release }
    await release()
  }
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

/** Every listening TCP socket of this machine; the address as dotted decimals, empty where it is IPv6. */
async function readListening(): Promise<{ address: string; port: number }[]> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  return tables
    .flatMap((table) => [...table.matchAll(/^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F:]+ 0A /gm)])
    .map(([, address = '', port = '']) => ({ address: toDotted(address), port: parseInt(port, 16) }))
}

/** `0100007F` → `127.0.0.1` */
function toDotted(hex: string): string {
  return hex.length === 8 ? [6, 4, 2, 0].map((at) => parseInt(hex.slice(at, at + 2), 16)).join('.') : ''
}
