// Makes a folder for the service, as root. In a folder that somebody else can change, root makes and gives away nothing: a link
// put there in between would have it give away any file. There the service's user makes it.
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readlink } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import type { Output } from './verb.ts'

export type Owner = { uid: number; gid: number }

/** What we make is the service's; what is there stays whose it is. Never rejects. */
export async function makeFolder(path: string, owner: Owner, out: Output): Promise<void> {
  try {
    const { base, missing, isRoots } = await findWay(path)
    if (missing.length === 0) return
    if (isRoots) await makeBelow(base, missing, owner)
    else await makeAs(path, owner)
  } catch (error) {
    out.complain(`prepare: ${path}: ${messageOf(error)}`)
  }
}

type Way = {
  /** The folder, without links, as far as it is there. */
  base: string
  missing: readonly string[]
  /** Nobody but root can change any folder on the way. */
  isRoots: boolean
}

const namesOf = (path: string) => path.split('/').filter((name) => name !== '' && name !== '.')

async function findWay(path: string): Promise<Way> {
  const left = namesOf(path)
  let [base, isRoots, links] = ['/', true, 0]
  for (;;) {
    const facts = await lstat(base)
    isRoots &&= facts.uid === 0 && (facts.mode & 0o022) === 0
    const [name] = left
    if (name === undefined) return { base, missing: [], isRoots }
    const next = join(base, name)
    const found = await lstat(next).catch(unlessAbsent)
    if (!found) return { base, missing: left, isRoots }
    left.shift()
    if (found.isSymbolicLink()) {
      if (++links > 40) throw new Error('too many symbolic links')
      const target = await readlink(next)
      left.unshift(...namesOf(target))
      if (isAbsolute(target)) base = '/'
    } else if (found.isDirectory()) base = next
    else throw new Error(`${next} is no folder`)
  }
}

function unlessAbsent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}

/** Given away from the inside out, each by its handle: until then all of it is root's, and nobody can put a link there. */
async function makeBelow(base: string, names: readonly string[], { uid, gid }: Owner): Promise<void> {
  const made: FileHandle[] = []
  try {
    let path = base
    for (const name of names) {
      path = join(path, name)
      await mkdir(path, { mode: 0o755 })
      made.push(await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW))
    }
  } finally {
    for (const handle of made.toReversed()) {
      await handle.chmod(0o755)
      await handle.chown(uid, gid)
      await handle.close()
    }
  }
}

/** Where that user may not, the daemon says so (path-unwritable). */
async function makeAs(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid === 0) throw new Error('is not made: somebody else than root can change the folders above it')
  const words = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--no-new-privs', 'mkdir', '-p', '--', path]
  const outcome = await runProgram('setpriv', words, { timeout: 5000, env: plainEnv })
  if (outcome.kind !== 'exited') throw new Error(`mkdir as uid ${uid}: ${outcome.kind}`)
  if (outcome.code !== 0) throw new Error(`as uid ${uid}: ${outcome.stderr.trim().slice(0, 300)}`)
}
