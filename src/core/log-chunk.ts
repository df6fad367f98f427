// Pieces of a log by byte offset, cut at a character boundary.
import { open } from 'node:fs/promises'
import { codeOf } from './errors.ts'
import { findLogStart } from './log-file.ts'

/** The bytes from `offset` up to `next`, as text. */
export type LogPiece = { offset: number; next: number; content: string }

/**
 * At most `most` bytes from `offset` on, or one character where it is longer. An offset beyond the end is clamped to it; the
 * punched head of a bounded log is skipped. A file that is not there is empty.
 * @param isWhole nothing will follow: an unfinished character at the end is given out, too
 * @throws what the file system says
 */
export async function readLogPiece(path: string, offset: number, most: number, isWhole: boolean): Promise<LogPiece> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (!file) return { offset: 0, next: 0, content: '' }
  try {
    const { size } = await file.stat()
    const start = offset < size ? Math.max(offset, await findLogStart(file)) : size
    const wanted = Math.min(Math.max(most, 4), size - start)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, start)
    const found = buffer.subarray(0, Math.min(bytesRead, wanted))
    const isEnd = start + found.length >= size
    const length = judgeCut(found, Math.min(most, found.length), isEnd && isWhole)
    return { offset: start, next: start + length, content: found.toString('utf8', 0, length) }
  } finally {
    await file.close()
  }
}

/** Where to cut at or before `at`; after it where the first character is longer than that. */
export function judgeCut(bytes: Uint8Array, at: number, isWhole: boolean): number {
  if (at === bytes.length && isWhole) return at
  let begin = at
  // Back to the first byte of the last character, which has at most four.
  while (begin > 0 && at - begin < 4) {
    begin -= 1
    const byte = bytes[begin] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    const end = begin + (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1)
    if (end <= at) return at
    if (begin > 0) return begin
    return end <= bytes.length ? end : 0
  }
  return at
}
