// The name of a release: version and a hash of what goes into it, so that two builds never share a folder on an instance.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readVersion } from '../core/version.ts'

/** What the daemon needs of the repository. The rehearsal comes along: operators try it on the instance. */
export const releaseParts = ['src', 'systemd', 'profile.d', 'package.json', 'README.md', 'LICENSE'] as const

/** `0.1.0-1f2e3d4c5b6a`: the same files give the same name, also outside of a git checkout. Dependencies count by the lock file. */
export function readRelease(root: string): string {
  const hash = createHash('sha256')
  for (const part of [...releaseParts, 'package-lock.json']) {
    for (const path of listFiles(root, part)) {
      const content = readFileSync(join(root, path))
      hash.update(`${path}\0${statSync(join(root, path)).mode & 0o111}\0${content.length}\0`).update(content)
    }
  }
  return `${readVersion()}-${hash.digest('hex').slice(0, 12)}`
}

function listFiles(root: string, path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path]
  return readdirSync(join(root, path))
    .toSorted()
    .flatMap((name) => listFiles(root, join(path, name)))
}
