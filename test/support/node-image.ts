// An image with gonka-node in it, as packer would bake one: `npm run package`, then install.sh without a running systemd. Made
// once per content and kept. Beside it lies the machine of a rehearsal: model, vLLM environment, nvidia-smi, frpc.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readRelease } from '../../src/build/release.ts'
import { bringRootfs, mountOverlay } from './container.ts'
import { findFrp } from './frp-programs.ts'
import { worldPorts } from './outside-world.ts'
import { cacheFolder, onlyOne } from './real.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
const frp = findFrp()

export type NodeImage = {
  /** The layer above the root file system. */
  layer: string
  /** Inside the image. */
  tarball: string
  release: string
  /** The env file as user-data would write it. */
  envText: string
  frpsConfig: string
  frps: string | undefined
  model: string
}

/** @throws what is missing to make it */
export async function bringNodeImage(): Promise<NodeImage> {
  const rootfs = await bringRootfs()
  const own = createHash('sha256').update(await readFile(import.meta.filename))
  const release = readRelease(root)
  const key = own
    .update(release)
    .update(frp.found ? await readFile(frp.frpc) : 'none')
    .digest('hex')
    .slice(0, 16)
  const folder = join(cacheFolder, 'node-images', key)
  const layer = join(folder, 'upper')
  await onlyOne('node-image', async () => {
    if (!(await isThere(join(folder, 'done')))) await bake(folder, rootfs)
    await utimes(folder, new Date(), new Date())
    await dropOld(join(cacheFolder, 'node-images'), key)
  })
  const machine = JSON.parse(await readFile(join(layer, 'machine.json'), 'utf8')) as { folder: string; model: string }
  return {
    layer,
    tarball: '/root/gonka-node.tar.gz',
    release,
    envText: await readFile(join(layer, 'machine.env'), 'utf8'),
    frpsConfig: join(layer, machine.folder, 'frps.toml'),
    frps: frp.found ? frp.frps : undefined,
    model: machine.model,
  }
}

async function bake(folder: string, rootfs: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  const merged = await mountOverlay(folder, [rootfs])
  try {
    const tarball = join(merged, 'root/gonka-node.tar.gz')
    await run('npm', ['run', 'package', '--', tarball], { cwd: root, timeout: 300_000 })
    if (frp.found) {
      await copyFile(frp.frpc, join(merged, 'usr/local/bin/frpc'))
      await chmod(join(merged, 'usr/local/bin/frpc'), 0o755)
    }
    await writeFile(join(merged, 'root/machine.mjs'), machineScript)
    await inImage(merged, 'cd /root && tar xzf gonka-node.tar.gz && gonka-node-*/install.sh && rm -rf gonka-node-*/')
    await inImage(merged, 'mkdir -p /data && TMPDIR=/data /opt/gonka-node/current/bin/node /root/machine.mjs')
  } finally {
    await run('umount', ['-l', merged])
  }
  await writeFile(join(folder, 'done'), '')
}

const inImage = (merged: string, line: string) =>
  run(
    'systemd-nspawn',
    ['-D', merged, '--pipe', '--quiet', '--register=no', '--keep-unit', '--private-network', '/bin/sh', '-ec', line],
    { timeout: 120_000 },
  )

/** Runs inside, with the installed program: the folders of the state are systemd's, the rest is as in a rehearsal. */
const machineScript = `
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
const { rehearsalModel, writeMachine } = await import('/opt/gonka-node/current/src/rehearsal/machine-root.ts')
const ports = { node: 8080, inference: 5000, control: 8000, grpc: 8001, admin: ${worldPorts.admin}, callbacks: ${worldPorts.callbacks}, frps: ${worldPorts.frps} }
const set = { CLIENT_ID: '0042', REHEARSAL_LOAD_MS: '1000', REHEARSAL_TOKEN_MS: '5' }
const wishes = { gpus: 2, tensorParallel: 1, set }
const machine = await writeMachine(wishes, { ports, host: '127.0.0.1', metadataUrl: 'http://127.0.0.1:${worldPorts.metadata}' })
chmodSync(machine.folder, 0o755)
execFileSync('chown', ['-R', 'gonka:gonka', machine.gpuState])
const ours = /^(STATE_DIRECTORY|RUNTIME_DIRECTORY|LOG_DIR|VLLM_CACHE_ROOT)=/
const lines = readFileSync(machine.envFile, 'utf8').split('\\n').filter((line) => !ours.test(line))
writeFileSync('/machine.env', lines.join('\\n'))
writeFileSync('/machine.json', JSON.stringify({ folder: machine.folder, model: rehearsalModel }))
`

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** Each is 300 MB. Two stay, and what a test that runs at the same time may stand on. */
async function dropOld(folder: string, key: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const names = (await readdir(folder)).filter((name) => name !== key)
  const dated = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })))
  const old = dated.toSorted((a, b) => b.at - a.at).filter(({ at }, place) => place > 0 && Date.now() - at > 900_000)
  for (const { name } of old) {
    const gone = join(folder, `${name}.gone`)
    await rename(join(folder, name), gone)
    await rm(gone, { recursive: true, force: true })
  }
}
