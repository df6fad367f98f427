// `gonka-node prepare`: what needs root before each start of the daemon (ExecStartPre=+): env files that its group can read,
// the model volume mounted, the folders of the settings made and opened to the unit. Never a reason not to start: the daemon
// says what is still missing.
import { chmod, chown, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { judgeGiven } from '../config/judge.ts'
import { loadOrLastGoodOfRoot, runDirOf } from '../config/last-good.ts'
import type { Config } from '../config/schema.ts'
import { pickPlaces, type ConfigPlaces } from '../config/sources.ts'
import { messageOf } from '../core/errors.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { type Prepared, readFileMark, writePrepared } from '../host/prepared.ts'
import { parseOwnUnit, readOwnCgroup } from '../host/systemd-job.ts'
import { readVolume, systemRoots, type VolumeState } from '../models/find-volume.ts'
import { toVolumeMark } from '../models/volume.ts'
import { makeFolder, type Owner } from './make-folder.ts'
import { doesAnswer, openPaths } from './prepare-paths.ts'
import { UsageError, exits, type Output, type Verb } from './verb.ts'

export const prepare: Verb = {
  usage: '[--group GROUP]',
  summary:
    'as root, before the daemon: makes env files readable for it, mounts the model volume, opens the folders that settings name',
  help: `--group GROUP  who may read the env files: they become root:GROUP 0640 (default gonka)

Run by gonka-node.service before each start; nobody else needs it. Elsewhere it makes and opens no folders. Ends 0 also
when there is nothing to do, or something cannot be done: that is told.`,
  options: { group: { type: 'string' } },
  positionals: 0,
  async run({ flags, out }) {
    if (process.getuid?.() !== 0) throw new UsageError('needs root')
    const places = pickPlaces(process.env)
    const owner = await readOwner(typeof flags['group'] === 'string' ? flags['group'] : 'gonka')
    const files = await listEnvFiles(places)
    if (owner) await openEnvFiles(files, owner.gid, out)
    else out.complain('prepare: there is no such group: env files stay as they are')
    // At once: what is written from now on is for the next step.
    const marks = await readMarks(files)
    // By hand, or from another unit, it would open that one's sandbox, and pass for what the unit's own step saw.
    const isOurs = parseOwnUnit(readOwnCgroup()) === unit
    // What a daemon started now would run on: with a bad edit, the last good configuration.
    const loaded = await loadOrLastGoodOfRoot(places, { keep: isOurs })
    for (const { where, message } of loaded.warnings.filter(({ code }) => code === 'config-not-saved'))
      out.complain(`prepare: ${where}: ${message}`)
    const config = 'config' in loaded ? loaded.config : judgeGiven(loaded.given).config
    const volume = await attempt(out, async () =>
      config ? mountModels(config, isOurs ? owner : undefined, out) : { kind: 'none' as const },
    )
    if (!isOurs || !volume) return exits.ok
    if (config && owner)
      await attempt(out, () => openPaths({ unit, config, given: loaded.given, volume: volume.kind, owner, out }))
    await tell(runDirOf(loaded.given), { volume: toVolumeMark(volume), files: marks }, out)
    return exits.ok
  },
}

const unit = 'gonka-node.service'

/** What fails is told, and the start goes on. */
async function attempt<T>(out: Output, step: () => Promise<T>): Promise<T | undefined> {
  try {
    return await step()
  } catch (error) {
    out.complain(`prepare: ${messageOf(error)}`)
    return undefined
  }
}

/** User and group of that name; the user is root where only the group is there. */
async function readOwner(name: string): Promise<Owner | undefined> {
  const ask = (database: string) => runProgram('getent', [database, name], { timeout: 5000, env: plainEnv })
  const [group, user] = await Promise.all([ask('group'), ask('passwd')])
  const idOf = (found: typeof group) =>
    found.kind === 'exited' && found.code === 0 ? Number(found.stdout.split(':')[2]) : undefined
  const gid = idOf(group)
  return gid === undefined ? undefined : { gid, uid: idOf(user) ?? 0 }
}

async function listEnvFiles({ file, folder }: ConfigPlaces): Promise<string[]> {
  const dropIns = await readdir(folder).catch(() => [])
  return [file, ...dropIns.filter((name) => name.endsWith('.env')).map((name) => join(folder, name))]
}

const readMarks = async (files: readonly string[]) =>
  Object.fromEntries(await Promise.all(files.map(async (path) => [path, await readFileMark(path)] as const)))

async function openEnvFiles(paths: readonly string[], gid: number, out: Output): Promise<void> {
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile() || (found.gid === gid && (found.mode & 0o777) === 0o640)) continue
    try {
      await chown(path, 0, gid)
      await chmod(path, 0o640)
    } catch (error) {
      out.complain(`prepare: ${path} cannot be opened to the service: ${messageOf(error)}`)
    }
  }
}

/** Without waiting for a disk that is not there: the daemon asks for us again when it appears. */
async function mountModels({ models }: Config, owner: Owner | undefined, out: Output): Promise<VolumeState> {
  if (!models.volume) return { kind: 'none' }
  if (!(await doesAnswer(models.volumeMount))) throw new Error(`${models.volumeMount}: its disk does not answer`)
  const { mountOnMachine, mountVolume } = await import('../models/mount-volume.ts')
  const roots = { ...systemRoots, mountinfo: '/proc/1/mountinfo' }
  const state = await mountVolume({ settings: { ...models, volumeTimeout: 0 }, roots, mount: mountOnMachine })
  if ('problem' in state) out.complain(`prepare: ${state.problem.title}: ${state.problem.evidence}`)
  // The cache folders must be the service's; what is in them belongs to whoever put it there.
  if (state.kind === 'mounted' && owner)
    for (const name of ['huggingface', 'vllm-cache']) await makeFolder(join(models.volumeMount, name), owner, out)
  // As the daemon will see it.
  return readVolume(models, roots)
}

/** What we leave for the daemon; it runs without, too. */
async function tell(runDir: string, seen: Prepared, out: Output): Promise<void> {
  try {
    await writePrepared(runDir, seen)
  } catch (error) {
    out.complain(`prepare: nothing can be left for the daemon: ${messageOf(error)}`)
  }
}
