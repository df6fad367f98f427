import { chmod, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { until } from '../../src/core/watch.ts'
import { pickHfHome } from '../../src/models/cache-layout.ts'
import type { DiskRoots } from '../../src/models/find-volume.ts'
import { mountVolume } from '../../src/models/mount-volume.ts'
import { findMount, parseMounts } from '../../src/models/mounts.ts'
import { startVolume } from '../../src/models/volume.ts'
import { tempDir } from '../support/temp-dir.ts'
import { bound, isMissing, isReady, repo, startWorld } from './rehearsal-models.ts'

const root = '22 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n'

/** A machine with a root disk nvme0n1, as the kernel shows it. */
async function machine() {
  const folder = await tempDir()
  const roots: DiskRoots = { sys: join(folder, 'sys'), dev: join(folder, 'dev'), mountinfo: join(folder, 'mountinfo') }
  const attach = async (name: string, serial: string, numbers: string, partition?: string) => {
    const disk = join(roots.sys, 'class/block', name)
    await mkdir(join(disk, 'device'), { recursive: true })
    await writeFile(join(disk, 'device/serial'), `${serial}   \n`)
    await writeFile(join(disk, 'dev'), `${numbers}\n`)
    if (partition === undefined) return
    await mkdir(join(disk, `${name}p1`))
    await writeFile(join(disk, `${name}p1`, 'dev'), `${partition}\n`)
  }
  const mounts = (lines = '') => writeFile(roots.mountinfo, root + lines)
  await attach('nvme0n1', 'vol0root', '259:0', '259:1')
  await mounts()
  return { folder, roots, attach, mounts }
}

function watchVolume(roots: DiskRoots, volume: string, volumeMount: string, volumeTimeout = 100) {
  const started = startVolume({ settings: { volume, volumeMount, volumeTimeout }, log: silentLog, roots, every: 20 })
  onTestFinished(() => started.end('stop'))
  return started
}

test.for(['vol-0abc', 'vol0abc', 'VOL-0ABC'])(
  'the volume %s is found by its NVMe serial, whatever it is called',
  async (volume) => {
    const { roots, attach, mounts } = await machine()
    await attach('nvme3n1', 'vol0abc', '259:7')
    await mounts('36 22 259:7 / /data rw - xfs /dev/nvme3n1 rw\n')
    const state = await until(watchVolume(roots, volume, '/data').state, (one) => one.kind !== 'looking', bound())
    expect(state).toEqual({ kind: 'mounted', point: '/data', device: '/dev/nvme3n1' })
  },
)

test('a label with a blank is found, and its partition is what is mounted', async () => {
  const { roots, attach, mounts } = await machine()
  await attach('nvme1n1', 'vol0x', '259:2', '259:3')
  await mkdir(join(roots.sys, 'class/block/nvme1n1p1'))
  await writeFile(join(roots.sys, 'class/block/nvme1n1p1/dev'), '259:3\n')
  await mkdir(join(roots.dev, 'disk/by-label'), { recursive: true })
  await writeFile(join(roots.dev, 'nvme1n1p1'), '')
  await symlink('../../nvme1n1p1', join(roots.dev, 'disk/by-label', 'my\\x20models'))
  await mounts('36 22 259:3 / /data rw - ext4 /dev/nvme1n1p1 rw\n')
  const volume = watchVolume(roots, 'my models', '/data')
  expect(await until(volume.state, (one) => one.kind === 'mounted', bound())).toMatchObject({ point: '/data' })
})

test('a volume that is not there is waited for, then said to be missing, and taken when it comes', async () => {
  const { roots, attach, mounts } = await machine()
  const volume = watchVolume(roots, 'vol-0abc', '/data')
  expect(volume.state.peek().kind).toBe('looking')
  await until(volume.state, (one) => one.kind === 'missing', bound())
  expect(volume.status.peek()).toMatchObject({ health: 'failed', problem: { code: 'volume-missing' } })
  await attach('nvme1n1', 'vol0abc', '259:2')
  await until(volume.state, (one) => one.kind === 'not-mounted', bound())
  expect(volume.status.peek().problem?.code).toBe('volume-not-mounted')
  await mounts('36 22 259:2 / /data rw - ext4 /dev/nvme1n1 rw\n')
  await until(volume.status, (one) => one.health === 'ok', bound())
})

test('a mount is wanted of the privileged step once for each change, and never for what that step could not do', async () => {
  const { roots, attach } = await machine()
  const start = (before?: string) => {
    const settings = { volume: 'vol-0abc', volumeMount: '/data', volumeTimeout: 0 }
    const started = startVolume({ settings, before, log: silentLog, roots, every: 20 })
    onTestFinished(() => started.end('stop'))
    return started
  }
  const isUnmounted = (one: ReturnType<typeof start>) => until(one.state, ({ kind }) => kind === 'not-mounted', bound())
  const waiting = start('missing')
  await until(waiting.state, ({ kind }) => kind === 'missing', bound())
  expect(waiting.mountWanted.peek()).toBe(false)
  await attach('nvme1n1', 'vol0abc', '259:2')
  await until(waiting.mountWanted, Boolean, bound())
  // The next daemon, after the step that could not mount it, or mounted it where we do not see it; and one without a step.
  const later = [start('not-mounted /dev/nvme1n1'), start('mounted'), start()]
  for (const one of later) await isUnmounted(one)
  // It came between the step and the daemon.
  await until(start('missing').mountWanted, Boolean, bound())
  // The env file that names it did.
  await until(start('none').mountWanted, Boolean, bound())
  expect(later.map(({ mountWanted }) => mountWanted.peek())).toEqual([false, false, false])
  // Another disk under that name is another chance.
  await rename(join(roots.sys, 'class/block/nvme1n1'), join(roots.sys, 'class/block/nvme2n1'))
  for (const { mountWanted } of later) await until(mountWanted, Boolean, bound())
})

test('another disk in its place is not taken for it', async () => {
  const { roots, attach, mounts } = await machine()
  await attach('nvme1n1', 'vol0abc', '259:2')
  await attach('nvme2n1', 'vol0other', '259:4')
  await mounts('36 22 259:4 / /data rw - ext4 /dev/nvme2n1 rw\n')
  const volume = watchVolume(roots, 'vol-0abc', '/data')
  const state = await until(volume.state, (one) => one.kind !== 'looking', bound())
  expect(state).toMatchObject({ kind: 'wrong', problem: { code: 'volume-wrong' } })
})

test('a missing volume never fills the root disk: nothing is downloaded until it is mounted', async () => {
  const { roots, attach, mounts, folder } = await machine()
  const volumeMount = join(folder, 'data')
  const volume = watchVolume(roots, 'vol-0abc', volumeMount)
  const settings = { volume: 'vol-0abc', volumeMount, hfHome: undefined }
  const { models, hub } = await startWorld({ settings, deps: { volume: volume.state, roots } })
  const files = models.files({ repo })
  const waiting = await until(files, (one) => one.kind === 'waiting' && one.problem !== undefined, bound())
  expect(waiting).toMatchObject({ problem: { code: 'volume-missing' } })
  await models.onDisk.download({ repo })
  await until(models.status, (one) => one.health === 'failed', bound())
  expect(hub.requests).toEqual([])
  await attach('nvme1n1', 'vol0abc', '259:2')
  await mounts(`36 22 259:2 / ${volumeMount} rw - ext4 /dev/nvme1n1 rw\n`)
  const { path } = await until(files, isReady, bound())
  expect(path.startsWith(join(volumeMount, 'huggingface/hub/'))).toBe(true)
})

test('an HF_HOME on the root disk beside a configured volume is refused', async () => {
  const { roots, attach, mounts } = await machine()
  await attach('nvme1n1', 'vol0abc', '259:2')
  await mounts('36 22 259:2 / /data rw - ext4 /dev/nvme1n1 rw\n')
  const { models, hub } = await startWorld({ settings: { volume: 'vol-0abc' }, deps: { roots } })
  const { problem } = await until(models.files({ repo }), isMissing, bound())
  expect(problem.code).toBe('model-cache-off-volume')
  expect(hub.requests).toEqual([])
})

async function mounting(script: string) {
  const { roots, attach, folder } = await machine()
  await attach('nvme1n1', 'vol0abc', '259:2', '259:3')
  const mount = join(folder, 'mount')
  const volumeMount = join(folder, 'data')
  await writeFile(mount, `#!/bin/sh\necho "$@" > ${folder}/args\n${script.replaceAll('$ROOT', folder)}\n`)
  await chmod(mount, 0o755)
  const settings = { volume: 'vol-0abc', volumeMount, volumeTimeout: 100 }
  const state = await mountVolume({ settings, roots, mount: [mount] })
  return { state, args: await readFile(join(folder, 'args'), 'utf8'), volumeMount, roots }
}

test('the privileged step mounts the partition of the volume', async () => {
  const { state, args, volumeMount, roots } = await mounting(
    'echo "36 22 259:3 / $ROOT/data rw - ext4 /dev/nvme1n1p1 rw" >> $ROOT/mountinfo',
  )
  expect(args.trim()).toBe(`-o noatime,nodev,nosuid ${roots.dev}/nvme1n1p1 ${volumeMount}`)
  expect(state.kind).toBe('mounted')
})

test('a mount that fails is told with its words', async () => {
  const { state } = await mounting('echo "wrong fs type, bad option, bad superblock" >&2; exit 32')
  expect(state).toMatchObject({
    problem: { code: 'volume-mount-failed', evidence: expect.stringContaining('wrong fs type') },
  })
})

test('the privileged step ends within its time when the volume does not come', async () => {
  const { roots } = await machine()
  const settings = { volume: 'vol-0abc', volumeMount: '/nowhere', volumeTimeout: 300 }
  expect(await mountVolume({ settings, roots })).toMatchObject({ kind: 'missing' })
})

test('HF_HOME is on the volume where there is one, else at home', async () => {
  const mounts = parseMounts(`${root}36 22 259:2 / /data rw - ext4 /dev/nvme1n1 rw\n`)
  const nowhere = join(await tempDir(), 'nowhere')
  expect(await pickHfHome({ volumeMount: '/data' }, mounts)).toBe('/data/huggingface')
  expect(await pickHfHome({ volumeMount: nowhere }, parseMounts(root))).toMatch(/\.cache\/huggingface$/)
  expect(await pickHfHome({ volumeMount: nowhere, volume: 'vol-1' }, parseMounts(root))).toBe(`${nowhere}/huggingface`)
  expect(await pickHfHome({ volumeMount: '/data', hfHome: '/x' }, mounts)).toBe('/x')
  const folder = await tempDir()
  await mkdir(join(folder, 'huggingface/hub'), { recursive: true })
  expect(await pickHfHome({ volumeMount: folder }, parseMounts(root))).toBe(`${folder}/huggingface`)
})

test('a folder that a sandbox binds onto itself is no mount', () => {
  const bound = parseMounts(
    `${root}40 22 259:1 /data /data rw - ext4 /dev/nvme0n1p1 rw\n41 22 259:1 /srv/x /x rw - ext4 /dev/nvme0n1p1 rw\n42 22 259:2 / /mnt rw - ext4 /dev/nvme1n1 rw\n43 42 259:2 /hf /mnt/hf rw - ext4 /dev/nvme1n1 rw\n`,
  )
  expect(bound.map(({ point }) => point)).toEqual(['/', '/x', '/mnt'])
})

test('mounts with blanks, and paths that only begin alike, are told apart', () => {
  const mounts = parseMounts(`${root}36 22 8:1 / /my\\040data rw shared:1 - ext4 /dev/sda1 rw\n`)
  expect(findMount(mounts, '/my data/hub')?.device).toBe('8:1')
  expect(findMount(mounts, '/my database')?.device).toBe('259:1')
})
