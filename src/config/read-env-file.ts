// Reads a file that an operator, user-data or a full disk left behind: bounded, never blocking, never throwing.
import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { codeOf, messageOf } from '../core/errors.ts'

/** An env file of more is a log, an archive or a mistake. */
export const longestEnvFile = 1 << 20

export type EnvText =
  | { kind: 'text'; text: string; print: string }
  | { kind: 'absent'; print: string }
  /** `why` reads on after the path: `is binary; …`. forbidden: root could open it to us, nobody needs to write it anew. */
  | { kind: 'unreadable'; why: string; print: string; forbidden: boolean }

/** `print` differs when the file differs: content where it can be read, else what kept us from it. */
export async function readEnvText(path: string): Promise<EnvText> {
  let file: FileHandle | undefined
  try {
    // A fifo without a writer would block the open for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const facts = await file.stat()
    if (!facts.isFile()) return unreadable('is not a regular file; write a text file', 'kind')
    if (facts.size > longestEnvFile)
      return unreadable(
        `has ${facts.size} bytes, and an env file has less than ${longestEnvFile}; write only NAME=value lines`,
        `${facts.size} ${facts.mtimeMs}`,
      )
    return toText(await file.readFile())
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'absent', print: 'absent' }
    if (code === 'EACCES') return forbidden(error, await stat(path).catch(() => undefined))
    return unreadable(`cannot be read: ${messageOf(error)}; see to the file system`, code ?? 'error')
  } finally {
    await file?.close().catch(() => {})
  }
}

function toText(bytes: Buffer): EnvText {
  const print = createHash('sha256').update(bytes).digest('hex')
  if (bytes.includes(0)) return unreadable('is binary or UTF-16; save it as UTF-8 text', print)
  return { kind: 'text', text: bytes.toString('utf8'), print }
}

const unreadable = (why: string, print: string): EnvText => ({
  kind: 'unreadable',
  why,
  print: `unreadable ${print}`,
  forbidden: false,
})

/** One that is written again is another one, though we may read neither. */
function forbidden(error: unknown, facts: Stats | undefined): EnvText {
  const print = `forbidden ${facts?.ino} ${facts?.mtimeMs}`
  const remedy = facts
    ? 'make it root:gonka with mode 0640'
    : 'a folder that it lies in, or links into, is closed to the service: `chmod o+x` that folder, or write the file itself here'
  return {
    kind: 'unreadable',
    why: `cannot be read: ${messageOf(error)}; ${remedy}`,
    print,
    forbidden: true,
  }
}
