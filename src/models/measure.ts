// How much a folder holds, links not followed: the blobs of the cache count once.
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Bytes; what vanishes or cannot be read meanwhile counts nothing. */
export async function measureFolder(path: string): Promise<number> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  let sum = 0
  for (const entry of entries) {
    const below = join(path, entry.name)
    if (entry.isDirectory()) sum += await measureFolder(below)
    else if (entry.isFile()) sum += (await lstat(below).catch(() => ({ size: 0 }))).size
  }
  return sum
}
