// Finds the data volume by NVMe serial (an EBS volume id, with or without its dash), by label or by UUID, and its mount.
// Kernel names are never trusted: /dev/sdf of the console is some nvmeXn1 (P22).
import { readdir, readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Mount, readMounts } from './mounts.ts'
import { type ModelProblem, toModelProblem } from './problems.ts'

/** Where the kernel tells about disks. Tests bring their own. */
export type DiskRoots = { sys: string; dev: string; mountinfo: string }

export const systemRoots: DiskRoots = { sys: '/sys', dev: '/dev', mountinfo: '/proc/self/mountinfo' }

/** none: no MODEL_VOLUME. looking: it may still come. Only `mounted` (and `none`) may be written to. */
export type VolumeState =
  | { kind: 'none' }
  | { kind: 'looking' }
  | { kind: 'mounted'; point: string; device: string }
  | { kind: 'not-mounted'; device: string; problem: ModelProblem }
  | { kind: 'missing'; problem: ModelProblem }
  | { kind: 'wrong'; problem: ModelProblem }

export type VolumeSettings = { volume?: string | undefined; volumeMount: string }

export async function readVolume(settings: VolumeSettings, roots: DiskRoots = systemRoots): Promise<VolumeState> {
  const { volume, volumeMount } = settings
  if (volume === undefined) return { kind: 'none' }
  const [disk, mounts] = await Promise.all([findDisk(volume, roots), readMounts(roots.mountinfo)])
  const mount = mounts.findLast((one) => one.point === volumeMount)
  if (disk === undefined) {
    const there = mount ? `; ${mount.source} is mounted at ${volumeMount}` : ''
    const problem = toModelProblem('volume-missing', `no disk with serial, label or UUID ${volume}${there}`)
    return { kind: 'missing', problem }
  }
  if (!mount) {
    const problem = toModelProblem(
      'volume-not-mounted',
      `${volume} is /dev/${disk.name}, nothing is mounted at ${volumeMount}`,
    )
    return { kind: 'not-mounted', device: `/dev/${disk.name}`, problem }
  }
  if (isOn(mount, disk)) return { kind: 'mounted', point: volumeMount, device: mount.source }
  const problem = toModelProblem(
    'volume-wrong',
    `${mount.source} is mounted at ${volumeMount}, ${volume} is /dev/${disk.name}`,
  )
  return { kind: 'wrong', problem }
}

/** A disk or partition, with the partitions below it. */
export type Disk = { name: string; partitions: string[]; numbers: string[] }

export async function findDisk(volume: string, roots: DiskRoots = systemRoots): Promise<Disk | undefined> {
  const name = (await findBySerial(volume, roots)) ?? (await findByLink(volume, roots))
  return name === undefined ? undefined : readDisk(name, roots)
}

async function findBySerial(volume: string, { sys }: DiskRoots): Promise<string | undefined> {
  const plain = (text: string) => text.trim().toLowerCase().replaceAll('-', '')
  const names = await readdir(join(sys, 'class/block')).catch(() => [])
  for (const name of names) {
    const serial = await readFile(join(sys, 'class/block', name, 'device/serial'), 'utf8').catch(() => '')
    if (serial !== '' && plain(serial) === plain(volume)) return name
  }
  return undefined
}

/** udev escapes what is no plain character as \x20. */
async function findByLink(volume: string, { dev }: DiskRoots): Promise<string | undefined> {
  const escaped = volume.replaceAll(/[^\w#+.:=@-]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  for (const folder of ['by-label', 'by-uuid']) {
    const found = await realpath(join(dev, 'disk', folder, escaped)).catch(() => undefined)
    if (found) return basename(found)
  }
  return undefined
}

async function readDisk(name: string, { sys }: DiskRoots): Promise<Disk> {
  const folder = join(sys, 'class/block', name)
  const below = await readdir(folder).catch(() => [])
  const partitions = below.filter((one) => one.startsWith(name)).toSorted()
  const read = (path: string) => readFile(join(path, 'dev'), 'utf8').catch(() => '')
  const numbers = await Promise.all([folder, ...partitions.map((one) => join(folder, one))].map(read))
  return { name, partitions, numbers: numbers.map((one) => one.trim()).filter((one) => one !== '') }
}

/** By device number; by name too, because btrfs mounts have a number of their own. */
function isOn(mount: Mount, disk: Disk): boolean {
  return disk.numbers.includes(mount.device) || [disk.name, ...disk.partitions].includes(basename(mount.source))
}
