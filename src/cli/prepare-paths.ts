// The folders that settings name, for `gonka-node prepare`: made where they are missing, and opened to the sandboxed unit.
import { join } from 'node:path'
import type { Given } from '../config/given.ts'
import { listNamed, listWritten } from '../config/named-paths.ts'
import type { Config } from '../config/schema.ts'
import { readRealPaths } from '../host/real-paths.ts'
import { applyUnitPaths, isInHome, renderUnitPaths } from '../host/unit-paths.ts'
import { pickHfHome } from '../models/cache-layout.ts'
import type { VolumeState } from '../models/find-volume.ts'
import { judgeCacheRoot } from '../models/hf-home.ts'
import { readMounts } from '../models/mounts.ts'
import { makeFolder, type Owner } from './make-folder.ts'
import type { Output } from './verb.ts'

export type Opening = {
  unit: string
  config: Config
  given: Given
  volume: VolumeState['kind']
  owner: Owner
  out: Output
}

/** Nothing is made on the disk below a volume that is not mounted. */
export async function openPaths(opening: Opening): Promise<void> {
  const { unit, config, given, owner, out } = opening
  const named = listNamed(given)
  const written = await listMade(opening)
  const real = await readRealPaths([config.models.volumeMount, ...written, ...named])
  // What does not answer is left alone, by us and by systemd: the start goes on.
  const silent = [...real].filter(([, found]) => found === undefined).map(([path]) => path)
  for (const path of silent) out.complain(`prepare: ${path}: its disk does not answer`)
  const answers = (path: string) => !silent.includes(path)
  for (const path of written.filter(answers)) await makeFolder(path, owner, out)
  const toReal = (path: string) => real.get(path) ?? path
  const writable = [config.models.volumeMount, ...written].filter(answers).map(toReal)
  const homes = [...named, ...named.map(toReal), ...writable].some(isInHome)
  const failed = await applyUnitPaths(unit, renderUnitPaths({ writable, homes }))
  if (failed !== undefined) out.complain(`prepare: the paths of the settings cannot be opened to ${unit}: ${failed}`)
}

async function listMade({ config, given, volume, out }: Opening): Promise<string[]> {
  const { models, engine } = config
  if (!(await doesAnswer(join(models.volumeMount, 'huggingface/hub')))) {
    out.complain(`prepare: ${models.volumeMount}: its disk does not answer`)
    return []
  }
  const hfHome = await pickHfHome(models, await readMounts())
  const cacheRoot = judgeCacheRoot({ ...models, ...engine, hfHome })
  const isThere = volume === 'none' || volume === 'mounted'
  return listWritten(config, given, { hfHome, cacheRoot })
    .map(({ path }) => path)
    .filter((path) => isThere || !path.startsWith(`${models.volumeMount}/`))
}

/** Whether a path can be looked at without waiting for ever. */
export const doesAnswer = async (path: string): Promise<boolean> =>
  (await readRealPaths([path])).get(path) !== undefined
