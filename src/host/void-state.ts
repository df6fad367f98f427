// Puts another machine's state aside, where a person can still look at it. Only the last one is kept.
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../core/errors.ts'

const asideName = 'voided'

/** Moves everything in the folder to `voided/` below it. Idempotent. @returns the names. @throws what the file system says */
export async function voidState(stateDir: string): Promise<string[]> {
  const names = await readdir(stateDir).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
  const moved = names.filter((name) => name !== asideName && name !== 'lost+found')
  if (moved.length === 0) return []
  const aside = join(stateDir, asideName)
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside, { mode: 0o700 })
  // The identity last: a crash in between finds the old one again and goes on.
  moved.sort((one, other) => Number(one === 'identity.json') - Number(other === 'identity.json'))
  for (const name of moved) await rename(join(stateDir, name), join(aside, name))
  return moved
}
