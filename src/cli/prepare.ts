// `gonka-node prepare`: what needs root before each start of the daemon (ExecStartPre=+): env files that its group can read,
// the model volume mounted. Never a reason not to start: the daemon says what is still missing.
import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { judgeGiven } from '../config/judge.ts'
import { pickPlaces, readSources, type ConfigPlaces } from '../config/sources.ts'
import { messageOf } from '../core/errors.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { UsageError, exits, type Output, type Verb } from './verb.ts'

export const prepare: Verb = {
  usage: '[--group GROUP]',
  summary: 'as root, before the daemon: makes env files readable for it, mounts the model volume',
  help: `--group GROUP  who may read the env files: they become root:GROUP 0640 (default gonka)

Run by gonka-node.service before each start; nobody else needs it. Ends 0 also when there is nothing to do.`,
  options: { group: { type: 'string' } },
  positionals: 0,
  async run({ flags, out }) {
    if (process.getuid?.() !== 0) throw new UsageError('needs root')
    const places = pickPlaces(process.env)
    const owner = await readOwner(typeof flags['group'] === 'string' ? flags['group'] : 'gonka')
    if (owner) await openEnvFiles(places, owner.gid, out)
    else out.complain('prepare: there is no such group: env files stay as they are')
    await mountModels(places, owner, out)
    return exits.ok
  },
}

type Owner = { uid: number; gid: number }

/** User and group of that name; the user is root where only the group is there. */
async function readOwner(name: string): Promise<Owner | undefined> {
  const ask = (database: string) => runProgram('getent', [database, name], { timeout: 5000, env: plainEnv })
  const [group, user] = await Promise.all([ask('group'), ask('passwd')])
  const idOf = (found: typeof group) =>
    found.kind === 'exited' && found.code === 0 ? Number(found.stdout.split(':')[2]) : undefined
  const gid = idOf(group)
  return gid === undefined ? undefined : { gid, uid: idOf(user) ?? 0 }
}

async function openEnvFiles({ file, folder }: ConfigPlaces, gid: number, out: Output): Promise<void> {
  const dropIns = await readdir(folder).catch(() => [])
  const paths = [file, ...dropIns.filter((name) => name.endsWith('.env')).map((name) => join(folder, name))]
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
async function mountModels(places: ConfigPlaces, owner: Owner | undefined, out: Output): Promise<void> {
  const { given } = await readSources(places)
  const config = judgeGiven(given).config
  if (!config?.models.volume) return
  const { mountVolume } = await import('../models/mount-volume.ts')
  const state = await mountVolume({ settings: { ...config.models, volumeTimeout: 0 } })
  if ('problem' in state && state.problem)
    return out.complain(`prepare: ${state.problem.title}: ${state.problem.evidence}`)
  if (state.kind !== 'mounted' || !owner) return
  // The cache folders must be the service's; what is in them belongs to whoever put it there.
  for (const name of ['huggingface', 'vllm-cache']) {
    const path = join(config.models.volumeMount, name)
    try {
      if (await mkdir(path, { recursive: true })) await chown(path, owner.uid, owner.gid)
    } catch (error) {
      out.complain(`prepare: ${path}: ${messageOf(error)}`)
    }
  }
}
