// A child cgroup (v2) per life, where ours is delegated to us: `Delegate=yes` under systemd, or a session of our own. Hosts
// with cgroup v1 alone, or without write access, have none; the life is then known by its session and its marker.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isShortage } from './errors.ts'

/** Our own cgroup folder below the cgroup2 mount, or undefined. */
export function findOwnCgroup(): string | undefined {
  try {
    return parseOwnCgroup(readFileSync('/proc/self/cgroup', 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    return undefined
  }
}

export function parseOwnCgroup(cgroup: string, mountinfo: string): string | undefined {
  const own = /^0::(\/.*)$/m.exec(cgroup)?.[1]
  const mount = mountinfo.split('\n').find((line) => / - cgroup2 /.test(line))
  if (!own || !mount) return undefined
  const [, , , root = '/', point = ''] = mount.split(' ')
  // Inside a container the mount may show only a part of the tree; what lies outside of it is not ours.
  if (root !== '/' && !own.startsWith(root)) return undefined
  return join(point, root === '/' ? own : own.slice(root.length))
}

/** Makes the life's cgroup; undefined where that is not allowed. */
export function makeCgroup(parent: string | undefined, name: string): string | undefined {
  if (!parent) return undefined
  const folder = join(parent, name)
  try {
    mkdirSync(folder)
    return existsSync(join(folder, 'cgroup.procs')) ? folder : undefined
  } catch {
    return undefined
  }
}

export function readCgroupPids(folder: string | undefined): number[] {
  if (!folder) return []
  try {
    return readFileSync(join(folder, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && line !== '0')
      .map(Number)
  } catch (error) {
    if (isShortage(error)) throw error
    return []
  }
}

/** Kernel 5.14 and later; older ones are left to the caller, who kills the pids one by one. */
export function killCgroup(folder: string | undefined): void {
  if (!folder) return
  try {
    writeFileSync(join(folder, 'cgroup.kill'), '1')
  } catch {
    // No such file before 5.14, or the cgroup is gone.
  }
}

/** Works only once it is empty: false while it is still populated. Absent is fine. */
export function removeCgroup(folder: string | undefined): boolean {
  if (!folder) return true
  try {
    rmdirSync(folder)
    return true
  } catch {
    return !existsSync(folder)
  }
}
