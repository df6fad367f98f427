// The record of a life on disk: written before the spawn, completed after it, trusted only after it was checked.
import { access } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import type { BodyRecord } from './body.ts'
import { codeOf } from './errors.ts'
import { type Found, readJson, writeJson } from './json-file.ts'

const schema = z.object({
  id: z.string(),
  folder: z.string(),
  pid: z.number().int().positive().optional(),
  startTime: z.string().optional(),
  bootId: z.string(),
  cgroup: z.string().optional(),
  origin: z.string(),
  launchedAt: z.string(),
  meta: z.unknown(),
})

const recordPath = (folder: string): string => join(folder, 'record.json')

export async function readRecord(folder: string): Promise<Found<BodyRecord>> {
  const found = await readJson(recordPath(folder), schema)
  if (found.kind !== 'value') return found
  // A folder that was moved or restored from a backup is not the life that the record speaks of.
  if (found.value.id !== basename(folder)) return { kind: 'bad', why: `record of ${found.value.id} in ${folder}` }
  return { kind: 'value', value: { ...(found.value as BodyRecord), folder } }
}

/** False only where there is certainly none. One question to the disk: for who asks again and again. */
export async function hasRecord(folder: string): Promise<boolean> {
  return access(recordPath(folder)).then(
    () => true,
    (error: unknown) => codeOf(error) !== 'ENOENT',
  )
}

export function writeRecord(record: BodyRecord): Promise<void> {
  return writeJson(recordPath(record.folder), record)
}
