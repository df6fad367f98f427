// Engines listen on loopback at INFERENCE_PORT + 1 + slot; a port that somebody else holds is skipped, and we say who.
import { createServer } from 'node:net'
import { codeOf } from '../core/errors.ts'
import { findPortHolder } from '../core/port-holder.ts'

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
async function describeHolder(port: number): Promise<string> {
  const holder = await findPortHolder(port)
  return holder ? `${holder.program} (pid ${holder.pid})` : 'a process of another user or network namespace'
}
