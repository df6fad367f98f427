// Lives whose folder somebody deleted: no record tells of them, but their processes still stand in it.
import { readdir, readlink, realpath } from 'node:fs/promises'
import { sep } from 'node:path'

/** The kernel's word for a working folder that is gone. */
const goneMark = / \(deleted\)$/

/**
 * Names of lives below these folders that processes stand in. Processes of other users are not seen; whether one belongs to the
 * life at all is for adoptBody to prove.
 */
export async function findStanding(places: readonly string[]): Promise<Set<string>> {
  const roots = await Promise.all(places.map((place) => realpath(place).catch(() => place)))
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')))
  return new Set(found.flatMap((cwd) => pickName(cwd.replace(goneMark, ''), [...roots, ...places]) ?? []))
}

function pickName(cwd: string, roots: readonly string[]): string | undefined {
  const root = roots.find((one) => cwd.startsWith(one + sep))
  return root === undefined ? undefined : cwd.slice(root.length + 1).split(sep)[0]
}
