// Which unit we are, and what systemd is doing with it.
import { readFileSync } from 'node:fs'

/** Our own line of /proc/self/cgroup; empty where it cannot be read. */
export function readOwnCgroup(): string {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8')
  } catch {
    return ''
  }
}

/** The innermost `*.service` of a cgroup path: with Delegate= we may live in a child of the unit's cgroup. Pure. */
export function parseOwnUnit(cgroup: string): string | undefined {
  const path = /^0::(.*)$/m.exec(cgroup)?.[1] ?? /^\d+:name=systemd:(.*)$/m.exec(cgroup)?.[1] ?? ''
  return path.split('/').findLast((part) => part.endsWith('.service'))
}

/** `systemctl list-jobs --no-legend`: `ID unit job state`, padded. No line for us: nobody asked for a stop. Pure. */
export function parseJob(listing: string, unit: string): 'restart' | 'stop' {
  for (const line of listing.split('\n')) {
    const [, name, job] = line.trim().split(/\s+/)
    if (name === unit) return job === 'stop' ? 'stop' : 'restart'
  }
  return 'restart'
}
