// Boots systemd as PID 1 in a container of its own: debootstrap once, an overlay per container, no network but loopback.
import { execFile, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from './eventually.ts'
import { bringCommands, cacheFolder, onlyOne } from './real.ts'

const run = promisify(execFile)
const packages = 'systemd,systemd-sysv,dbus,iproute2,procps,udev,curl,ca-certificates'

/** The root file system, made on first use. @throws what is missing to make it */
export async function bringRootfs(): Promise<string> {
  const rootfs = join(cacheFolder, 'rootfs-bookworm')
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
  /** A long-lived program of the host inside the container's network alone. */
  inNetwork(command: string, args: readonly string[]): ReturnType<typeof spawn>
  write(path: string, text: string, mode?: number): Promise<void>
  reboot(): Promise<void>
  /** Kills it and removes its files. */
  [Symbol.asyncDispose](): Promise<void>
}

export async function bootContainer(
  name: string,
  options: { before?: (root: string) => Promise<void> } = {},
): Promise<Container> {
  const rootfs = await bringRootfs()
  const folder = join(cacheFolder, 'containers', `${name}-${process.pid}`)
  const root = join(folder, 'root')
  for (const part of ['upper', 'work', 'root']) await mkdir(join(folder, part), { recursive: true })
  await run('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=${rootfs},upperdir=${folder}/upper,workdir=${folder}/work`,
    root,
  ])
  await options.before?.(root)
  let machine = await boot(root, folder)
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
    inNetwork: (command, args) => spawn('nsenter', [...enter(['-n']), command, ...args]),
    async write(path, text, mode = 0o644) {
      await writeFile(join(root, path), text, { mode })
    },
    async reboot() {
      await machine.end()
      machine = await boot(root, folder)
    },
    async [Symbol.asyncDispose]() {
      await machine.end()
      await run('umount', ['-l', root])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

type Machine = { leader: number; end(): Promise<void> }

/** The unified hierarchy inside also where the host has the old one: cgroup.kill and delegation need it. */
async function boot(root: string, folder: string): Promise<Machine> {
  const child = spawn(
    'systemd-nspawn',
    ['-D', root, '-b', '--register=no', '--keep-unit', '--private-network', '--console=pipe', '--quiet'],
    {
      env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const log = createWriteStream(join(folder, 'console.log'), { flags: 'a' })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const leader = await eventually('the container has a PID 1', async () => {
    if (child.exitCode !== null)
      throw new Error(
        `systemd-nspawn ended with ${child.exitCode}: ${await readFile(join(folder, 'console.log'), 'utf8')}`,
      )
    return Number((await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).trim().split(' ')[0])
  })
  const isUp = () =>
    run('nsenter', ['-t', String(leader), '-a', '--', 'systemctl', 'is-system-running']).then(
      ({ stdout }) => stdout,
      (error: { stdout?: string }) => error.stdout ?? '',
    )
  await eventually('systemd is running', async () => /running|degraded/.test(await isUp()), 60_000)
  return {
    leader,
    async end() {
      child.kill('SIGKILL')
      // nspawn's death takes PID 1 of the container along, and with it everything inside.
      try {
        process.kill(leader, 'SIGKILL')
      } catch {
        // gone already
      }
      await exited
    },
  }
}
