// The processes that belong to one root, told by their command line and environment: nothing else names a random folder.
import { readFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { listProcesses } from '../../src/core/proc.ts'

export type OwnProcess = { pid: number; kind: 'daemon' | 'keeper' | 'engine' | 'frpc' | 'frps' | 'other'; argv: string }

export async function listProcessesOf(folder: string): Promise<OwnProcess[]> {
  const found: OwnProcess[] = []
  for (const { pid } of listProcesses()) {
    if (pid === process.pid) continue
    const argv = read(pid, 'cmdline').replaceAll('\0', ' ').trim()
    if (argv.includes(folder) || read(pid, 'environ').includes(folder)) found.push({ pid, kind: toKind(argv), argv })
  }
  return found
}

/** All of them, also those that appear meanwhile, and the cgroups of their lives: the kernel keeps those for ever. */
export async function killProcesses(folder: string): Promise<void> {
  const cgroups = new Set<string>()
  for (;;) {
    const left = await listProcessesOf(folder)
    if (left.length === 0) break
    for (const { argv } of left) for (const [, path = ''] of argv.matchAll(/ keeper (\/sys\S+)/g)) cgroups.add(path)
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {}
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (const path of cgroups) await rmdir(path).catch(() => {})
}

function toKind(argv: string): OwnProcess['kind'] {
  if (/bin\.ts run/.test(argv)) return 'daemon'
  if (/frps/.test(argv)) return 'frps'
  if (/trap .*INT/.test(argv)) return 'keeper'
  if (/frpc/.test(argv)) return 'frpc'
  if (/--served-model-name|^VLLM::EngineCore/.test(argv)) return 'engine'
  return 'other'
}

function read(pid: number, name: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return ''
  }
}
