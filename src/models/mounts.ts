// What is mounted where (/proc/self/mountinfo), and which mount a path is on.
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

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

type Line = Mount & { id: string; parent: string; root: string }

/**
 * `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw`; blanks are written \040. Without folders that are only
 * bound onto themselves, as the sandbox of a unit does (ReadWritePaths=): nothing is mounted there. Pure.
 */
export function parseMounts(text: string): Mount[] {
  const lines = text.split('\n').flatMap(parseLine)
  const byId = new Map(lines.map((one) => [one.id, one]))
  return lines
    .filter((one) => !isSelfBind(one, byId.get(one.parent)))
    .map(({ device, point, type, source }) => ({ device, point, type, source }))
}

function parseLine(line: string): Line[] {
  const [before, after] = line.split(' - ')
  const [id, parent, device, root, point] = (before ?? '').split(' ')
  const [type, source] = (after ?? '').split(' ')
  if (!id || !parent || !device || !root || !point || !type) return []
  const paths = { root: unescape(root), point: unescape(point), source: unescape(source ?? '') }
  return [{ id, parent, device, type, ...paths }]
}

function isSelfBind({ device, root, point }: Line, parent: Line | undefined): boolean {
  if (!parent || parent.device !== device || parent.point === point) return false
  return root === join(parent.root, relative(parent.point, point))
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
