// Who holds the memory of a GPU that is nobody's of ours: named with pid and user, so that a person can end it.
import { readFile } from 'node:fs/promises'
import type { ReadonlySignal } from '@preact/signals-core'
import type { Gpu, GpuProcesses, Inventory } from '../gpu/inventory.ts'
import type { GpuHolder, Leases } from './leases.ts'

type Foreign = Extract<GpuHolder, { kind: 'foreign' }>

export type ForeignersDeps = {
  processes: () => Promise<GpuProcesses>
  /** Asks for the memory of the GPUs now. */
  refresh: () => Promise<unknown>
}

export interface Foreigners {
  /** Looks anew where memory seems to be taken, or `always`; costs nothing otherwise. Never rejects. */
  look(leases: Leases, inventory: ReadonlySignal<Inventory>, always: boolean): Promise<void>
  /** `pid 4711 (python3 of user ubuntu)`, as it was seen last; undefined where nobody was. */
  who(gpu: number): string | undefined
  describe(gpu: number, holder: Foreign): string
  /** Whether memory that no engine of ours is on seems to be taken. */
  areThere(leases: Leases, inventory: Inventory): boolean
}

export function createForeigners({ processes, refresh }: ForeignersDeps): Foreigners {
  const seen = { names: new Map<number, string>() }
  return {
    async look(leases, inventory, always) {
      if (!always && pickForeign(leases, inventory.peek()).length === 0) return
      // What was seen may be half a minute old.
      await refresh().catch(() => {})
      const taken = pickForeign(leases, inventory.peek())
      seen.names = taken.length > 0 ? await readNames(taken, processes) : new Map()
    },
    who: (gpu) => seen.names.get(gpu),
    describe: (gpu, { usedMiB, totalMiB }) =>
      `${seen.names.get(gpu) ?? 'another program'} with ${usedMiB} of ${totalMiB} MiB`,
    areThere: (leases, inventory) => pickForeign(leases, inventory).length > 0,
  }
}

async function readNames(taken: readonly Gpu[], processes: ForeignersDeps['processes']): Promise<Map<number, string>> {
  const names = new Map<number, string>()
  const found = await processes().catch((): GpuProcesses => ({ kind: 'none' }))
  if (found.kind !== 'known') return names
  for (const { index, uuid } of taken) {
    const pids = found.processes.filter((one) => one.gpuUuid === uuid).map((one) => one.pid)
    const words = await Promise.all([...new Set(pids)].slice(0, 4).map(describeProcess))
    if (words.length > 0) names.set(index, words.join(', '))
  }
  return names
}

function pickForeign(leases: Leases, inventory: Inventory) {
  if (inventory.kind !== 'known') return []
  return inventory.gpus.filter(({ index }) => leases.holder(index, inventory).kind === 'foreign')
}

/** `pid 4711 (python3 of user ubuntu)`; in a PID namespace the pid may be that of the host, and then that is all. */
async function describeProcess(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const name = /^Name:\s+(.+)$/m.exec(status)?.[1]
  const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1]
  if (name === undefined || uid === undefined) return `pid ${pid}`
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const user = users.split('\n').find((line) => line.split(':')[2] === uid)
  return `pid ${pid} (${name} of user ${user?.split(':')[0] ?? uid})`
}
