// Who holds the memory of a GPU that is nobody's of ours: named with pid and user, so that a person can end it.
import { readFile } from 'node:fs/promises'
import type { ReadonlySignal } from '@preact/signals-core'
import type { GpuProcesses, Inventory } from '../gpu/inventory.ts'
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
  describe(gpu: number, holder: Foreign): string
}

export function createForeigners({ processes, refresh }: ForeignersDeps): Foreigners {
  const names = new Map<number, string>()
  return {
    async look(leases, inventory, always) {
      if (!always && pickForeign(leases, inventory.peek()).length === 0) return
      // What was seen may be half a minute old.
      await refresh().catch(() => {})
      names.clear()
      const taken = pickForeign(leases, inventory.peek())
      if (taken.length === 0) return
      const found = await processes().catch((): GpuProcesses => ({ kind: 'none' }))
      if (found.kind !== 'known') return
      for (const { index, uuid } of taken) {
        const pids = found.processes.filter((one) => one.gpuUuid === uuid).map((one) => one.pid)
        const words = await Promise.all([...new Set(pids)].slice(0, 4).map(describeProcess))
        if (words.length > 0) names.set(index, words.join(', '))
      }
    },
    describe: (gpu, { usedMiB, totalMiB }) =>
      `${names.get(gpu) ?? 'another program'} with ${usedMiB} of ${totalMiB} MiB`,
  }
}

function pickForeign(leases: Leases, inventory: Inventory) {
  if (inventory.kind !== 'known') return []
  return inventory.gpus.filter(
    ({ index }) => leases.owner(index) === undefined && leases.holder(index, inventory).kind === 'foreign',
  )
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
