// The cache of huggingface_hub: hub/models--ORG--NAME/{refs,blobs,snapshots}. Engines find models in it offline.
import { readdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { judgeHfHome } from './hf-home.ts'
import { isMountedBelow, type Mount } from './mounts.ts'

export type CacheSettings = { hfHome?: string | undefined; volume?: string | undefined; volumeMount: string }

/** HF_HOME as contracts/environment.md reads it: the data volume where there is one, else the home folder. */
export async function pickHfHome(settings: CacheSettings, mounts: readonly Mount[]): Promise<string> {
  const { hfHome, volumeMount } = settings
  const onVolume = join(volumeMount, 'huggingface')
  // A volume that is named and not mounted yet: its place, and never the root disk.
  const mounted = Boolean(settings.volume) || isMountedBelow(mounts, onVolume)
  const hasHub = !hfHome && !mounted && (await isFolder(join(onVolume, 'hub')))
  return judgeHfHome({ hfHome, volumeMount, mounted, hasHub, home: homedir() })
}

export function renderRepoFolder(hub: string, repo: string): string {
  return join(hub, `models--${repo.replaceAll('/', '--')}`)
}

/** `models--ORG--NAME` → `ORG/NAME`. */
export function parseRepoFolder(name: string): string | undefined {
  const found = /^models--(.+)$/.exec(name)?.[1]
  return found?.replaceAll('--', '/')
}

/** The snapshot folder of a branch, tag or commit; undefined where it is not here. */
export async function findSnapshot(
  folder: string,
  revision: string,
): Promise<{ path: string; commit: string } | undefined> {
  for (const commit of [await readRef(folder, revision), revision]) {
    if (commit === undefined || commit === '') continue
    const path = join(folder, 'snapshots', commit)
    if (await isFolder(path)) return { path, commit }
  }
  return undefined
}

export async function readRef(folder: string, revision: string): Promise<string | undefined> {
  try {
    const text = (await readFile(join(folder, 'refs', revision), 'utf8')).trim()
    return /^[0-9a-zA-Z._-]+$/.test(text) && !text.includes('..') ? text : undefined
  } catch {
    return undefined
  }
}

/** Every repository in the cache. */
export async function listRepos(hub: string): Promise<string[]> {
  const names = await readdir(hub).catch(() => [])
  return names.flatMap((name) => parseRepoFolder(name) ?? []).toSorted()
}

export async function listSnapshots(folder: string): Promise<string[]> {
  return readdir(join(folder, 'snapshots')).catch(() => [])
}

/** A download that was cut off leaves these. */
export async function hasIncomplete(folder: string): Promise<boolean> {
  const names = await readdir(join(folder, 'blobs')).catch(() => [])
  return names.some((name) => name.endsWith('.incomplete'))
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
