// What the privileged step before each start (`gonka-node prepare`) leaves for the daemon: how it found the world. Whatever
// is otherwise now came after it, and is a reason to start again, once; what is as it left it is not.
import { chmod, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { codeOf } from '../core/errors.ts'
import { readJson, removeFile, writeJson } from '../core/json-file.ts'

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

/** Another one for a file that is written, replaced or given away; `hidden` where we may not even look. */
export const readFileMark = (path: string): Promise<string> =>
  stat(path).then(
    ({ ino, ctimeMs }) => `${ino} ${ctimeMs}`,
    (error: unknown) => (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '') ? 'absent' : 'hidden'),
  )

/**
 * Whether one of these is not what the privileged step saw. What is hidden from us, or has gone, is never news.
 * @param folder of the drop-ins: changes with each of them, and counts only where the step told how it left it
 */
export async function cameAfter(
  prepared: Prepared | undefined,
  paths: readonly string[],
  folder?: string,
): Promise<boolean> {
  if (!prepared) return false
  for (const path of paths) {
    if (path === folder && prepared.files[path] === undefined) continue
    const mark = await readFileMark(path)
    if (mark !== 'absent' && mark !== 'hidden' && mark !== (prepared.files[path] ?? 'absent')) return true
  }
  return false
}

/** What a daemon starts again for: `open` env files, `mount` the model volume. */
export type Asked = 'open' | 'mount'

const askedSchema = z.object({ fingerprint: z.string() })

/** In the run folder, which outlives a restart and no reboot. */
const toAskedPath = (runDir: string, what: Asked) => join(runDir, `asked-${what}.json`)

/**
 * Remembers that the privileged step was asked for this, for files of this fingerprint.
 * @returns false where it was asked already, or nobody would remember: starting again might go on for ever
 */
export async function askOnce(runDir: string, what: Asked, fingerprint: string): Promise<boolean> {
  const path = toAskedPath(runDir, what)
  const found = await readJson(path, askedSchema)
  if (found.kind === 'value' && found.value.fingerprint === fingerprint) return false
  return writeJson(path, { fingerprint }).then(
    () => true,
    () => false,
  )
}

/** It was done: the same may be asked again. Never rejects. */
export const forgetAsked = (runDir: string, what: Asked): Promise<void> =>
  removeFile(toAskedPath(runDir, what)).catch(() => {})
