// A folder with an env file, drop-ins and a state folder of the test's own.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConfigPlaces } from '../../src/config/sources.ts'
import { tempDir } from './temp-dir.ts'

/** `file` undefined: there is no env file. STATE_DIRECTORY is in the environment, as systemd has it. */
export async function configPlaces(
  file: string | Uint8Array | undefined,
  more: { dropIns?: Record<string, string>; environment?: Record<string, string> } = {},
): Promise<ConfigPlaces & { root: string; stateDir: string }> {
  const root = await tempDir()
  const path = join(root, 'container.env')
  const stateDir = join(root, 'state')
  if (file !== undefined) await writeFile(path, file)
  for (const [name, text] of Object.entries(more.dropIns ?? {})) {
    await mkdir(`${path}.d`, { recursive: true })
    await writeFile(join(`${path}.d`, name), text)
  }
  const environment = { STATE_DIRECTORY: stateDir, ...more.environment }
  return { root, stateDir, file: path, folder: `${path}.d`, environment }
}
