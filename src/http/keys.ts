// The keys that open the control surfaces: VLLM_ACCESS_KEY and the lines of VLLM_ACCESS_KEY_FILE, which is read again when it changes.
// A file that has gone bad is a problem, and the keys that were last read stay.
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { messageOf } from '../core/errors.ts'

export type KeyFile =
  | { kind: 'keys'; keys: readonly string[]; print: string }
  | { kind: 'bad'; why: string; print: string }

/** Bytes; hundreds of keys. */
const longest = 65_536

/** Never blocks, never throws. `print` differs when the file differs. */
export async function readKeyFile(path: string): Promise<KeyFile> {
  let file: FileHandle | undefined
  try {
    // A fifo without a writer would block the open for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const facts = await file.stat()
    const print = `${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.mode}`
    const bad = (why: string): KeyFile => ({ kind: 'bad', why: `${path} ${why}`, print })
    if (!facts.isFile()) return bad('is not a regular file')
    if ((facts.mode & 0o007) !== 0) return bad(`may be read or written by everybody (mode ${toMode(facts.mode)})`)
    if ((facts.mode & 0o020) !== 0) return bad(`may be written by its group (mode ${toMode(facts.mode)})`)
    if (facts.size > longest) return bad(`has ${facts.size} bytes, more than ${longest}`)
    const keys = parseKeys(await file.readFile('utf8'))
    return keys.length > 0 ? { kind: 'keys', keys, print } : bad('holds no key')
  } catch (error) {
    return { kind: 'bad', why: `${path} cannot be read: ${messageOf(error)}`, print: messageOf(error) }
  } finally {
    await file?.close().catch(() => {})
  }
}

/** One key per line; blanks at its ends do not count, nor do empty lines and those that begin with `#`. Pure. */
export function parseKeys(text: string): string[] {
  const lines = text.split(/\r?\n|\r/).map((line) => line.trim())
  return [...new Set(lines.filter((line) => line !== '' && !line.startsWith('#')))]
}

const toMode = (mode: number) => `0${(mode & 0o777).toString(8)}`
