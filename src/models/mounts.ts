// What is mounted where (/proc/self/mountinfo), and which mount a path is on.
import { readFile } from 'node:fs/promises'

export type Mount = {
  /** `259:1` */
  device: string
  point: string
  type: string
  source: string
}

export async function readMounts(path = '/proc/self/mountinfo'): Promise<Mount[]> {
  return readFile(path, 'utf8').then(parseMounts, () => [])
}

/** `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw`; blanks are written \040. Pure. */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ')
    const [, , device, , point] = (before ?? '').split(' ')
    const [type, source] = (after ?? '').split(' ')
    if (!device || !point || !type) return []
    return [{ device, point: unescape(point), type, source: unescape(source ?? '') }]
  })
}

/** The mount that holds the path: the longest point above it, the last one where several are stacked. */
export function findMount(mounts: readonly Mount[], path: string): Mount | undefined {
  let best: Mount | undefined
  for (const mount of mounts) {
    const above = mount.point === '/' || path === mount.point || path.startsWith(`${mount.point}/`)
    if (above && mount.point.length >= (best?.point.length ?? 0)) best = mount
  }
  return best
}

/** On a mount of its own, not on the root disk. */
export function isMountedBelow(mounts: readonly Mount[], path: string): boolean {
  const mount = findMount(mounts, path)
  return mount !== undefined && mount.point !== '/'
}

function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
