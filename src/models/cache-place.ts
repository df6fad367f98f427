// Where models are kept, how full it is, and whether it may be written: never to the root disk in place of a missing volume.
import { statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type CacheSettings, isFolder, pickHfHome } from './cache-layout.ts'
import type { ModelSpace } from './files.ts'
import { type DiskRoots, readVolume } from './find-volume.ts'
import { measureFolder } from './measure.ts'
import { findMount, readMounts } from './mounts.ts'
import { ModelTrouble } from './problems.ts'

export interface CachePlace {
  home(): Promise<string>
  /** `$HF_HOME/hub` */
  cache(): Promise<string>
  measure(): Promise<ModelSpace>
  /** @throws ModelTrouble */
  checkWritable(): Promise<void>
}

export function createCachePlace(settings: CacheSettings, roots: DiskRoots): CachePlace {
  const home = async () => pickHfHome(settings, await readMounts(roots.mountinfo))
  const cache = async () => join(await home(), 'hub')
  return {
    home,
    cache,
    async measure() {
      const path = await cache()
      const { bavail, bsize } = await statfsNear(path)
      return { cacheBytes: await measureFolder(path), availableBytes: bavail * bsize, path }
    },
    checkWritable: async () => checkOnVolume(settings, await home(), roots),
  }
}

/** P22: a volume that is missing must not fill the root disk. */
async function checkOnVolume(settings: CacheSettings, home: string, roots: DiskRoots): Promise<void> {
  const state = await readVolume(settings, roots)
  if (state.kind === 'none' || state.kind === 'looking') return
  if (state.kind !== 'mounted') throw new ModelTrouble(state.problem.code, state.problem.evidence)
  const mount = findMount(await readMounts(roots.mountinfo), home)
  if (mount?.point === state.point) return
  throw new ModelTrouble(
    'model-cache-off-volume',
    `HF_HOME ${home} is on ${mount?.point ?? '/'}, the volume is at ${state.point}`,
  )
}

/** Of the first folder above that exists. */
async function statfsNear(path: string) {
  const near = async (at: string): Promise<string> => (at === '/' || (await isFolder(at)) ? at : near(dirname(at)))
  return statfs(await near(path))
}
