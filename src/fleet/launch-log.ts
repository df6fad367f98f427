// The log of a launch, in pieces by byte offset, while it is written and for as long as it is kept.
import { onAbort } from '../core/abort.ts'
import { readLogPiece } from '../core/log-chunk.ts'
import { startBell } from '../core/log-file.ts'
import type { LogChunk } from './launches.ts'

export type LogSource = {
  path: string
  /** Nothing will be written any more. */
  hasEnded: () => boolean
}

/** Of one piece of a log that is followed, bytes. */
const pieceSize = 65_536

export function readLog({ path, hasEnded }: LogSource, offset: number, most: number): Promise<LogChunk> {
  return readLogPiece(path, offset, most, hasEnded())
}

/** Reads only as fast as it is asked; ends, and never throws, on abort. */
export async function* followLog(source: LogSource, offset: number, abort: AbortSignal): AsyncGenerator<LogChunk> {
  const bell = startBell(source.path)
  const ended = new AbortController()
  const forget = onAbort(abort, () => ended.abort())
  try {
    let at = offset
    while (!abort.aborted) {
      // Asked before the read: what was written until the end is read.
      const isWhole = source.hasEnded()
      const piece = await readLogPiece(source.path, at, pieceSize, isWhole)
      if (piece.content !== '') yield piece
      else if (isWhole) return
      else await bell.wait(ended.signal)
      at = Math.max(piece.next, piece.content === '' ? at : 0)
    }
  } finally {
    forget()
    bell.end()
  }
}
