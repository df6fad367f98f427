// Pieces of a log as whole lines with the place where each ends, so that a reader can go on after any of them. A progress bar that
// rewrites its line ends one each time.
import type { LogChunk } from '../fleet/launches.ts'

export type LogLine = {
  text: string
  /** Bytes into the log, behind its end. */
  end: number
}

export interface LogLines {
  /** The lines that `chunk` completes. */
  take(chunk: LogChunk): LogLine[]
  /** What stands behind the last line end. */
  rest(): LogLine[]
}

/** Characters; a longer line is cut. */
const longest = 65_536

export function createLogLines(): LogLines {
  // `sure`: a place where a line is known to begin.
  const state = { begun: '', end: 0, sure: 0, isFirst: true }
  return {
    take({ offset, next, content }) {
      // Bytes that are no UTF-8 were replaced by others: then only the ends of the piece are known for sure.
      const isExact = Buffer.byteLength(content) === next - offset
      if (state.isFirst) state.sure = offset
      state.isFirst = false
      const found: LogLine[] = []
      let from = 0
      let bytes = offset
      for (const { index, 0: mark } of content.matchAll(/\r\n|\n|\r/g)) {
        const piece = content.slice(from, index)
        from = index + mark.length
        bytes += Buffer.byteLength(piece) + mark.length
        if (isExact) state.sure = bytes
        else if (from === content.length) state.sure = next
        found.push({ text: (state.begun + piece).slice(0, longest), end: state.sure })
        state.begun = ''
      }
      const rest = content.slice(from)
      state.begun = (state.begun + rest).slice(0, longest)
      state.end = next
      return found
    },
    rest: () => (state.begun === '' ? [] : [{ text: state.begun, end: state.end }]),
  }
}
