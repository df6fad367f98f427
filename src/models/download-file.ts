// One file of a model into its blob: resumed where it stopped, counted, hashed, renamed only when right.
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Hub, HubFile } from './hub.ts'
import { ModelTrouble } from './problems.ts'

export type FileTask = {
  hub: Hub
  repo: string
  commit: string
  file: HubFile
  /** `…/blobs` */
  blobs: string
  /** Bytes of this file that are on disk now; goes back to 0 where a file starts over. */
  progress: (bytes: number) => void
  abort: AbortSignal
}

/** One attempt. The blob is there and right when it returns. @throws ModelTrouble; what came is kept for the next attempt */
export async function downloadFile(task: FileTask): Promise<void> {
  const blob = join(task.blobs, task.file.hash)
  if (await hasSize(blob, task.file.size)) return task.progress(task.file.size)
  await mkdir(task.blobs, { recursive: true })
  const partial = `${blob}.incomplete`
  try {
    const hash = await append(task, partial)
    if (hash !== task.file.hash) {
      await rm(partial, { force: true })
      task.progress(0)
      throw new ModelTrouble(
        'model-download-failed',
        `${task.file.path}: content has hash ${hash}, not ${task.file.hash}`,
      )
    }
    await rename(partial, blob)
  } catch (error) {
    throw toDiskTrouble(error, dirname(task.blobs))
  }
}

/** Brings the partial file to its full size. @returns the hash of what it then holds */
async function append(task: FileTask, partial: string): Promise<string> {
  const { file, abort } = task
  const there = (await stat(partial).catch(() => undefined))?.size ?? 0
  const from = there > file.size ? 0 : there
  let hash = createFileHash(file)
  if (from > 0) await hashPrefix(partial, from, hash, abort)
  task.progress(from)
  if (from === file.size && there === file.size) return touch(partial, hash)
  const { start, body } = await task.hub.open({ repo: task.repo, commit: task.commit, path: file.path, from }, abort)
  if (start !== from && start !== 0)
    throw new ModelTrouble('model-download-failed', `${file.path}: asked from byte ${from}, got ${start}`)
  if (start === 0) hash = createFileHash(file)
  // Positions are explicit: a second downloader of the same content writes the same bytes to the same places.
  const output = await open(partial, start === 0 ? 'w' : 'r+')
  let at = start
  try {
    for await (const chunk of body) {
      if (at + chunk.length > file.size)
        throw new ModelTrouble('model-download-failed', `${file.path}: more than ${file.size} bytes`)
      await writeWhole(output, chunk, at)
      hash.update(chunk)
      at += chunk.length
      task.progress(at)
    }
    await output.datasync()
  } catch (error) {
    if (abort.aborted || error instanceof ModelTrouble || isDiskError(error)) throw error
    throw new ModelTrouble(
      'hub-unreachable',
      `${file.path}: broken off at ${at} of ${file.size} bytes: ${messageOf(error)}`,
    )
  } finally {
    await output.close()
  }
  if (at !== file.size) throw new ModelTrouble('hub-unreachable', `${file.path}: ended at ${at} of ${file.size} bytes`)
  return hash.digest('hex')
}

type Output = Awaited<ReturnType<typeof open>>

/** A write may be short, on a full disk above all. */
async function writeWhole(output: Output, chunk: Buffer, at: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await output.write(chunk, done, chunk.length - done, at + done)
    done += bytesWritten
  }
}

async function touch(partial: string, hash: Hash): Promise<string> {
  const now = new Date()
  await utimes(partial, now, now).catch(() => {})
  return hash.digest('hex')
}

function createFileHash(file: HubFile): Hash {
  return file.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${file.size}\0`)
}

async function hashPrefix(path: string, length: number, hash: Hash, abort: AbortSignal): Promise<void> {
  const stream = createReadStream(path, { end: length - 1, highWaterMark: 1 << 20, signal: abort })
  for await (const chunk of stream) hash.update(chunk as Buffer)
}

async function hasSize(path: string, size: number): Promise<boolean> {
  return stat(path).then(
    (found) => found.size === size,
    () => false,
  )
}

function isDiskError(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')
}

export function toDiskTrouble(error: unknown, folder: string): unknown {
  const code = codeOf(error)
  if (error instanceof ModelTrouble || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ModelTrouble('model-disk-too-small', `${folder}: ${messageOf(error)}`)
  if (isDiskError(error)) return new ModelTrouble('model-cache-unwritable', `${folder}: ${messageOf(error)}`)
  return error
}
