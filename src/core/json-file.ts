// State on disk: one small JSON file per fact, 0600, replaced whole. A reader sees the old or the new one, never half.
import { type FileHandle, open, readFile, rename, unlink, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { z } from 'zod'
import { codeOf, messageOf } from './errors.ts'

/** What was found: the value, nothing, or a file that cannot be trusted (kept where it is, with the reason). */
export type Found<T> =
  | { kind: 'value'; value: T }
  | { kind: 'none' }
  | { kind: 'bad'; why: string; /** Where it could not be read at all. */ error?: unknown }

export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<Found<T>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? { kind: 'none' } : { kind: 'bad', why: messageOf(error), error }
  }
  try {
    const parsed = schema.safeParse(JSON.parse(text))
    return parsed.success
      ? { kind: 'value', value: parsed.data }
      : { kind: 'bad', why: parsed.error.issues.map((one) => `${one.path.join('.')}: ${one.message}`).join('; ') }
  } catch (error) {
    return { kind: 'bad', why: messageOf(error) }
  }
}

/** Writes beside, fsyncs, renames. @throws what the file system says (ENOSPC, EROFS): the caller turns it into a status */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const beside = `${path}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`
  try {
    const file = await create(beside)
    try {
      await file.writeFile(`${JSON.stringify(value, null, 1)}\n`)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (error) {
    await unlink(beside).catch(() => {})
    throw error
  }
}

/** Its folder is made where it is missing, which is only once. */
async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    await mkdir(dirname(path), { recursive: true, mode: 0o750 })
    return open(path, 'wx', 0o600)
  }
}

/** Absent is fine. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
  })
}
