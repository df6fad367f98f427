// The usual ports, or the next free ones where they are taken.
import { createServer } from 'node:net'

export type Ports = Record<'node' | 'inference' | 'control' | 'grpc' | 'admin' | 'callbacks' | 'frps', number>

const usual: Ports = {
  node: 8080,
  inference: 5000,
  control: 8000,
  grpc: 8001,
  admin: 9200,
  callbacks: 9100,
  frps: 7000,
}

/** @param engines so many ports above the inference port are free as well: engines take them */
export async function pickPorts(overrides: Partial<Ports>, engines: number): Promise<Ports> {
  const taken = new Set<number>()
  const pick = async (first: number, count: number): Promise<number> => {
    for (let port = first; port + count < 65_536; port += 1) {
      const wanted = Array.from({ length: count }, (_, at) => port + at)
      if (wanted.some((one) => taken.has(one)) || !(await areFree(wanted))) continue
      for (const one of wanted) taken.add(one)
      return port
    }
    throw new Error(`no free port from ${first} on`)
  }
  const inference = overrides.inference ?? (await pick(usual.inference, 1 + engines))
  const rest: Partial<Ports> = {}
  for (const name of ['node', 'control', 'grpc', 'admin', 'callbacks', 'frps'] as const)
    rest[name] = overrides[name] ?? (await pick(usual[name], 1))
  return { ...usual, ...rest, inference }
}

/** 0042, or the next one whose remote ports are free at the frp server: another rehearsal may run beside this one. */
export async function pickClientId(host: string): Promise<string> {
  for (let number = 42; number < 10_000; number += 1) {
    const id = String(number).padStart(4, '0')
    if ((await isFree(Number(`1${id}`), host)) && (await isFree(Number(`2${id}`), host))) return id
  }
  throw new Error(`no client id has both of its ports free on ${host}`)
}

async function areFree(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) if (!(await isFree(port))) return false
  return true
}

/** @param host all addresses where absent */
function isFree(port: number, host?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, ...(host !== undefined && { host }) }, () => probe.close(() => resolve(true)))
  })
}
