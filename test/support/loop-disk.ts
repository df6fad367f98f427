// Block devices for a container: files of the host behind loop devices, seen inside under a label as udev would show them.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import type { Container } from './container.ts'
import { bringCommands, cacheFolder } from './real.ts'

const run = promisify(execFile)

/** @throws what is missing to have loop devices */
export async function bringLoopDisks(): Promise<void> {
  await bringCommands({ losetup: 'mount', 'mkfs.ext4': 'e2fsprogs' })
  await run('losetup', ['--find'])
}

export interface LoopDisk {
  /** `loop3` */
  readonly name: string
  /** The label's link in /dev/disk, and the device itself, in the container. */
  attach(container: Container, label: string): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A disk of 32 MB. @param content a folder whose files are on it, in ext4; without it, no file system */
export async function makeLoopDisk(content?: string): Promise<LoopDisk> {
  const folder = await mkdtemp(join(cacheFolder, 'loop-'))
  const file = join(folder, 'disk')
  await writeFile(file, '')
  await truncate(file, 32 << 20)
  if (content !== undefined) await run('mkfs.ext4', ['-q', '-F', '-d', content, file])
  const { stdout } = await run('losetup', ['--find', '--show', file])
  const name = basename(stdout.trim())
  const number = name.replace('loop', '')
  return {
    name,
    async attach(container, label) {
      await container.sh(
        `[ -e /dev/${name} ] || mknod /dev/${name} b 7 ${number}; mkdir -p /dev/disk/by-label; ln -sfn ../../${name} /dev/disk/by-label/${label}`,
      )
    },
    async [Symbol.asyncDispose]() {
      await run('losetup', ['--detach', `/dev/${name}`])
      await rm(folder, { recursive: true, force: true })
    },
  }
}
