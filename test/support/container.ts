// Boots systemd as PID 1 in a container of its own: debootstrap once, an overlay per container, no network but loopback.
import { execFile, spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { findOwnCgroup, killCgroup, makeCgroup } from '../../src/core/cgroup.ts'
import { eventually } from './eventually.ts'
import { bringCommands, cacheFolder, onlyOne } from './real.ts'

const run = promisify(execFile)
const packages = 'systemd,systemd-sysv,dbus,iproute2,procps,udev,curl,ca-certificates'

/** The root file system, made on first use. @throws what is missing to make it */
export async function bringRootfs(): Promise<string> {
  const rootfs = join(cacheFolder, 'rootfs-bookworm')
  if (process.getuid?.() !== 0) throw new Error('a container needs root')
  await bringCommands({ debootstrap: 'debootstrap', 'systemd-nspawn': 'systemd-container', nsenter: 'util-linux' })
  return onlyOne('rootfs', async () => {
    if (
      await readFile(join(rootfs, 'etc/os-release')).then(
        () => true,
        () => false,
      )
    )
      return rootfs
    const fresh = `${rootfs}.new`
    await rm(fresh, { recursive: true, force: true })
    const options = { maxBuffer: 64_000_000, timeout: 600_000 }
    await run(
      'debootstrap',
      ['--variant=minbase', `--include=${packages}`, 'bookworm', fresh, ...(await findMirror())],
      options,
    )
    await rename(fresh, rootfs)
    return rootfs
  })
}

/** Where this machine's own apt gets its packages; debootstrap's default where that is not plain. */
async function findMirror(): Promise<string[]> {
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$(SITE)|$(RELEASE)|$(CREATED_BY)'])
  const line = stdout.split('\n').find((one) => /\|bookworm\|Packages/.test(one))
  const site = line?.split('|')[0]
  return site?.startsWith('http') ? [site] : []
}

export interface Container {
  /** Its root file system as seen from outside. */
  readonly root: string
  /** Runs a shell line inside; its stdout. @throws with stderr where it fails */
  sh(line: string, ms?: number): Promise<string>
  /** A long-lived program of the host inside the container's network alone; survives a reboot. */
  inNetwork(command: string, args: readonly string[]): ReturnType<typeof spawn>
  write(path: string, text: string, mode?: number): Promise<void>
  reboot(): Promise<void>
  /** Kills it and removes its files. */
  [Symbol.asyncDispose](): Promise<void>
}

export type ContainerOptions = {
  /** Folders above the root file system, highest first. */
  layers?: readonly string[]
  before?: (root: string) => Promise<void>
}

export async function bootContainer(name: string, options: ContainerOptions = {}): Promise<Container> {
  const rootfs = await bringRootfs()
  const folder = join(cacheFolder, 'containers', `${name}-${process.pid}`)
  const root = await mountOverlay(folder, [...(options.layers ?? []), rootfs])
  await options.before?.(root)
  const network = await openNetwork()
  const clear = async () => {
    network.close()
    await run('umount', ['-l', root])
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  let machine = await boot(root, folder, network.path).catch(async (error: unknown) => {
    await clear()
    throw error
  })
  const enter = (flags: string[]) => ['-t', String(machine.leader), ...flags, '--']
  return {
    root,
    async sh(line, ms = 60_000) {
      const { stdout } = await run('nsenter', [...enter(['-a']), '/bin/sh', '-c', line], {
        timeout: ms,
        maxBuffer: 64_000_000,
        env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      })
      return stdout
    },
    inNetwork: (command, args) => spawn('nsenter', [`--net=${network.path}`, '--', command, ...args]),
    async write(path, text, mode = 0o644) {
      await writeFile(join(root, path), text, { mode })
    },
    async reboot() {
      await machine.end()
      machine = await boot(root, folder, network.path)
    },
    async [Symbol.asyncDispose]() {
      await machine.end()
      await clear()
    },
  }
}

/** @returns the merged root; what is written lands in `<folder>/upper` */
export async function mountOverlay(folder: string, lower: readonly string[]): Promise<string> {
  for (const part of ['upper', 'work', 'root']) await mkdir(join(folder, part), { recursive: true })
  const options = `lowerdir=${lower.join(':')},upperdir=${folder}/upper,workdir=${folder}/work`
  await run('mount', ['-t', 'overlay', 'overlay', '-o', options, join(folder, 'root')])
  return join(folder, 'root')
}

/** Loopback alone, outside of the container: it and what runs in it survive a reboot, and end with this process. */
async function openNetwork(): Promise<{ path: string; close(): void }> {
  const holder = spawn('unshare', ['--net', '--', 'sh', '-c', 'ip link set lo up && echo up && exec cat'])
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve())
    holder.once('exit', (code) => reject(new Error(`unshare --net ended with ${code}`)))
  })
  return { path: `/proc/${holder.pid}/ns/net`, close: () => holder.kill('SIGKILL') }
}

type Machine = { leader: number; end(): Promise<void> }

/** nspawn has a child before that one, of its own pid namespace, which ends soon. */
async function findPidOne(nspawn: number): Promise<number | undefined> {
  const children = (await readFile(`/proc/${nspawn}/task/${nspawn}/children`, 'utf8')).trim().split(' ')
  for (const pid of children) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    if (/^NSpid:(\t\d+)+\t1$/m.test(status)) return Number(pid)
  }
  return undefined
}

/**
 * A control group of its own: nspawn starts the container's systemd in `payload` below the group that it is in, and two
 * containers in one `payload` take each other's units, and engines, for their own.
 */
function openGroup(folder: string): { path: string; close(): Promise<void> } | undefined {
  const path = makeCgroup(findOwnCgroup(), `container-${basename(folder)}`)
  if (path === undefined) return undefined
  return {
    path,
    async close() {
      killCgroup(path)
      const names = await readdir(path, { recursive: true, withFileTypes: true })
      const below = names.filter((one) => one.isDirectory()).map((one) => join(one.parentPath, one.name))
      const deepestFirst = [path, ...below].toSorted((a, b) => b.length - a.length)
      await eventually('the container left its control group', async () => {
        for (const one of deepestFirst) if (existsSync(one)) await rmdir(one)
        return true
      })
    },
  }
}

/** The unified hierarchy inside also where the host has the old one: cgroup.kill and delegation need it. */
async function boot(root: string, folder: string, network: string): Promise<Machine> {
  const args = ['-D', root, '-b', '--register=no', '--keep-unit', '--console=pipe', '--quiet']
  const group = openGroup(folder)
  const enter = group ? `echo $$ > '${group.path}/cgroup.procs' && ` : ''
  const line = `${enter}exec systemd-nspawn "$@"`
  const child = spawn('sh', ['-c', line, 'sh', ...args, `--network-namespace-path=${network}`], {
    env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log = createWriteStream(join(folder, 'console.log'), { flags: 'a' })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const leader = await eventually('the container has a PID 1', async () => {
    if (child.exitCode !== null)
      throw new Error(
        `systemd-nspawn ended with ${child.exitCode}: ${await readFile(join(folder, 'console.log'), 'utf8')}`,
      )
    return findPidOne(Number(child.pid))
  })
  const end = async () => {
    child.kill('SIGKILL')
    // nspawn's death takes PID 1 of the container along, and with it everything inside.
    try {
      process.kill(leader, 'SIGKILL')
    } catch {
      // gone already
    }
    await exited
    await group?.close()
  }
  const isUp = () =>
    run('nsenter', ['-t', String(leader), '-a', '--', 'systemctl', 'is-system-running']).then(
      ({ stdout }) => stdout,
      (error: { stdout?: string }) => error.stdout ?? '',
    )
  try {
    await eventually('systemd is running', async () => /running|degraded/.test(await isUp()), 60_000, 50)
  } catch (error) {
    await end()
    throw error
  }
  return { leader, end }
}
