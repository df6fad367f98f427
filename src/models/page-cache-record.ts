// What was read ahead since the machine booted, by model: a daemon that is started again goes on where the one before it was, and never
// reads twice. Another boot, or changed files, make it void.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { readJson, writeJson } from '../core/json-file.ts'

/** A file of weights as it is now. */
export type WeightFile = { path: string; size: number; mtimeMs: number }

export type ReadAhead = {
  /** In load order, without a gap. */
  bytes: number
  /** As much as was to be read is read. */
  isWhole: boolean
}

export interface PageCacheRecord {
  find(folder: string, files: readonly WeightFile[]): ReadAhead | undefined
  /** @throws what the file system says */
  save(folder: string, files: readonly WeightFile[], read: ReadAhead): Promise<void>
}

const schema = z.object({
  bootId: z.string(),
  models: z.array(z.object({ path: z.string(), files: z.string(), bytes: z.number(), isWhole: z.boolean() })),
})

/** More than a machine has memory for. */
const mostModels = 16

export async function openPageCacheRecord(stateDir: string, bootId: string): Promise<PageCacheRecord> {
  const path = join(stateDir, 'page-cache.json')
  const found = await readJson(path, schema)
  let models = found.kind === 'value' && found.value.bootId === bootId ? found.value.models : []
  return {
    find(folder, files) {
      const digest = digestFiles(files)
      return models.find((one) => one.path === folder && one.files === digest)
    },
    async save(folder, files, { bytes, isWhole }) {
      const others = models.filter((one) => one.path !== folder)
      models = [{ path: folder, files: digestFiles(files), bytes, isWhole }, ...others].slice(0, mostModels)
      await writeJson(path, { bootId, models })
    },
  }
}

function digestFiles(files: readonly WeightFile[]): string {
  const facts = files.map(({ path, size, mtimeMs }) => [path, size, mtimeMs])
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32)
}
