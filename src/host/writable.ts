// Whether we may write into a folder, or make it; and if not, what stands in the way and what an operator does about it.
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'

/** @returns `what is wrong; what to do`, or undefined where we may. Never rejects. */
export async function judgeWritable(path: string): Promise<string | undefined> {
  const failed = await access(path, constants.W_OK | constants.X_OK).catch((error: unknown) => error ?? 'failed')
  if (failed === undefined) return judgeKind(path)
  switch (codeOf(failed)) {
    case 'ENOENT':
      return judgeMissing(path)
    case 'EROFS':
      return `is read-only for the service; run \`systemctl restart gonka-node\`, which opens it, or mount its disk read-write`
    case 'ENOTDIR':
      return 'has a file where a folder is needed; name another folder'
    case 'EACCES':
      return judgeForbidden(path)
    default:
      return `cannot be written: ${messageOf(failed)}; see to its disk, or name another folder`
  }
}

async function judgeKind(path: string): Promise<string | undefined> {
  const facts = await stat(path).catch(() => undefined)
  return facts && !facts.isDirectory() ? 'is no folder; name another one' : undefined
}

/** It is made when it is needed: what counts is the folder above it. */
async function judgeMissing(path: string): Promise<string | undefined> {
  const above = dirname(path)
  if (above === path) return undefined
  const wrong = await judgeWritable(above)
  if (wrong === undefined) return undefined
  const [why] = wrong.split('; ')
  return `does not exist, and ${above} ${why?.replace(/^does not exist, and /, '')}; make it yourself: ${toMake(path)}`
}

async function judgeForbidden(path: string): Promise<string> {
  const closed = await findClosed(path)
  if (closed !== undefined)
    return `is behind ${closed}, which is closed to ${whoWeAre()}; \`chmod o+x ${closed}\`, or name a folder elsewhere`
  const facts = await stat(path).catch(() => undefined)
  const owner = facts ? `belongs to uid ${facts.uid} with mode ${(facts.mode & 0o7777).toString(8)}` : 'is forbidden'
  return `${owner}, we are ${whoWeAre()}; \`chown -R ${whoWeAre()} ${path}\`, or name another folder`
}

/** The first folder on the way that we may not pass. */
export async function findClosed(path: string): Promise<string | undefined> {
  const above = dirname(path)
  if (above === path) return undefined
  const higher = await findClosed(above)
  if (higher !== undefined) return higher
  return access(above, constants.X_OK).then(
    () => undefined,
    (error: unknown) => (codeOf(error) === 'EACCES' ? above : undefined),
  )
}

const toMake = (path: string) => `\`install -d -o ${whoWeAre()} ${path}\``

function whoWeAre(): string {
  try {
    return userInfo().username
  } catch {
    // A uid without a name.
    return String(process.getuid?.() ?? 'this user')
  }
}
