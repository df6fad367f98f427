// What an engine's log says about callbacks that do not leave (P6: the error is swallowed there and shows nowhere else).
import { open } from 'node:fs/promises'

/** The end of the log that is searched. */
const tail = 64 << 10

/** The last line about a failing callback in the last 64 KiB, shortened; undefined when there is none or no log. */
export async function readCallbackError(logPath: string): Promise<string | undefined> {
  try {
    const file = await open(logPath, 'r')
    try {
      const { size } = await file.stat()
      const length = Math.min(size, tail)
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
      return pickCallbackError(buffer.toString('utf8', 0, bytesRead))
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  }
}

export function pickCallbackError(text: string): string | undefined {
  const lines = text.split('\n')
  const about = /callback|sender|sign|\/generated|artifact/i
  const bad = /error|exception|fail|traceback|refused|timed? ?out|has no attribute/i
  return lines
    .findLast((line) => about.test(line) && bad.test(line))
    ?.trim()
    .slice(0, 300)
}
