// The folders that settings name, for `gonka-node prepare`: made where they are missing, and opened to the sandboxed unit.
import { chmod, chown, mkdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Given } from '../config/given.ts'
import { listNamed, listWritten } from '../config/named-paths.ts'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../core/errors.ts'
import { parseOwnUnit, readOwnCgroup } from '../host/systemd-job.ts'
import { applyUnitPaths, isInHome, renderUnitPaths } from '../host/unit-paths.ts'
import { pickHfHome } from '../models/cache-layout.ts'
import type { VolumeState } from '../models/find-volume.ts'
import { judgeCacheRoot } from '../models/hf-home.ts'
import { readMounts } from '../models/mounts.ts'
import type { Output } from './verb.ts'

export type Owner = { uid: number; gid: number }

export type Opening = { config: Config; given: Given; volume: VolumeState['kind']; owner: Owner; out: Output }

/** Nothing is made on the disk below a volume that is not mounted. Outside of a unit there is nothing to open. */
export async function openPaths({ config, given, volume, owner, out }: Opening): Promise<void> {
  const { models, engine } = config
  const hfHome = await pickHfHome(models, await readMounts())
  const cacheRoot = judgeCacheRoot({ ...models, ...engine, hfHome })
  const isThere = volume === 'none' || volume === 'mounted'
  const written = listWritten(config, given, { hfHome, cacheRoot })
    .map(({ path }) => path)
    .filter((path) => isThere || !path.startsWith(`${models.volumeMount}/`))
  for (const path of written) await makeFolder(path, owner, out)
  const unit = parseOwnUnit(readOwnCgroup())
  if (unit === undefined) return
  const [writable, named] = await Promise.all([
    Promise.all([models.volumeMount, ...written].map(toRealPath)),
    Promise.all(listNamed(given).map(toRealPath)),
  ])
  const homes = [...listNamed(given), ...named, ...writable].some(isInHome)
  const failed = await applyUnitPaths(unit, renderUnitPaths({ writable, homes }))
  if (failed !== undefined) out.complain(`prepare: the paths of the settings cannot be opened to ${unit}: ${failed}`)
}

/** What we make is the service's; what is there stays whose it is. */
export async function makeFolder(path: string, { uid, gid }: Owner, out: Output): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true })
    if (first === undefined) return
    for (let made = path; made.startsWith(first); made = dirname(made)) {
      await chown(made, uid, gid)
      await chmod(made, 0o755)
    }
  } catch (error) {
    out.complain(`prepare: ${path}: ${messageOf(error)}`)
  }
}

/** Without symbolic links, as far as it is there. */
async function toRealPath(path: string): Promise<string> {
  return realpath(path).catch(async () =>
    dirname(path) === path ? path : join(await toRealPath(dirname(path)), basename(path)),
  )
}
