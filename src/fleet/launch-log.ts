// The log of a launch, in pieces by byte offset, while it is written and for as long as it is kept.
import type { ReadonlySignal } from '@preact/signals-core'
import { onAbort } from '../core/abort.ts'
import { readLogPiece } from '../core/log-chunk.ts'
import { startBell } from '../core/log-file.ts'
import { watch } from '../core/watch.ts'
import type { LogChunk } from './launches.ts'

export type LogSource = {
  /** Asked before each read: it may be moved when its engine ends. */
  path: () => string
  /** Nothing will be written any more. */
  ended: ReadonlySignal<boolean>
}

/** Of one piece of a log that is followed, bytes. */
const pieceSize = 65_536

export function readLog({ path, ended }: LogSource, offset: number, most: number): Promise<LogChunk> {
  return readLogPiece(path(), offset, most, ended.peek())
}

/** Reads only as fast as it is asked; ends, and never throws, on abort. */
export async function* followLog(source: LogSource, offset: number, abort: AbortSignal): AsyncGenerator<LogChunk> {
  const bell = startBell(source.path())
  try {
    let at = offset
    while (!abort.aborted) {
      // Asked before the read: what was written until the end is read.
      const isWhole = source.ended.peek()
      const piece = await readLogPiece(source.path(), at, pieceSize, isWhole)
      if (piece.content !== '') yield piece
      else if (isWhole) return
      else await untilMore(bell, source, abort)
      at = Math.max(piece.next, piece.content === '' ? at : 0)
    }
  } finally {
    bell.end()
  }
}

/** Something was written, or it has ended: that rings no bell of a file. */
async function untilMore(bell: Bell, { ended }: LogSource, abort: AbortSignal): Promise<void> {
  const wake = new AbortController()
  const forget = onAbort(abort, () => wake.abort())
  watch(ended, (now) => now && wake.abort(), wake.signal)
  await bell.wait(wake.signal)
  forget()
  wake.abort()
}

type Bell = ReturnType<typeof startBell>
