// What the privileged step before each start (`gonka-node prepare`) leaves for the daemon: how it found the world. Whatever
// is otherwise now came after it, and is a reason to start again, once; what is as it left it is not.
import { chmod, stat } from 'node:fs/promises'
import { z } from 'zod'
import { readJson, writeJson } from '../core/json-file.ts'

const preparedSchema = z.object({
  /** How the data volume was afterwards, as a mark of models/volume.ts. */
  volume: z.string(),
  /** The env files that it could open to us, by path. */
  files: z.record(z.string(), z.string()),
})

export type Prepared = z.output<typeof preparedSchema>

/** Beside the run folder, which is the service's: root writes nothing where somebody else may have put a link. */
const toPath = (runDir: string) => `${runDir}.prepared.json`

/** undefined: nobody prepared this start, or what it left cannot be read. */
export async function readPrepared(runDir: string): Promise<Prepared | undefined> {
  const found = await readJson(toPath(runDir), preparedSchema)
  return found.kind === 'value' ? found.value : undefined
}

/** @throws what the file system says */
export async function writePrepared(runDir: string, prepared: Prepared): Promise<void> {
  await writeJson(toPath(runDir), prepared)
  await chmod(toPath(runDir), 0o644)
}

/** Another one for a file that is written, replaced or given away. */
export const readFileMark = (path: string): Promise<string> =>
  stat(path).then(
    ({ ino, ctimeMs }) => `${ino} ${ctimeMs}`,
    () => 'absent',
  )

/** Whether one of these files is not what the privileged step saw. */
export async function cameAfter(prepared: Prepared | undefined, paths: readonly string[]): Promise<boolean> {
  if (!prepared) return false
  for (const path of paths) if ((await readFileMark(path)) !== (prepared.files[path] ?? 'absent')) return true
  return false
}
