// The log of a life: append-only, written by the child itself. Its head is punched free, so that offsets stay monotone and
// nothing is lost at the tail; readers skip the hole.
import { execFile } from 'node:child_process'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { watch } from 'node:fs'
import { promisify } from 'node:util'
import { onAbort } from './abort.ts'
import { type Clock, systemClock } from './clock.ts'

const block = 4096
/** Longer lines are cut there: a progress bar without an end must not fill our memory. */
const longestLine = 16_384
/** Without a watch: look this often, ms. */
const lookEvery = 500
/** A watch may miss what another machine writes: look this often anyway. */
const lookWatchedEvery = 5000

export type LogLine = { text: string; /** Where the next line begins. */ next: number }

/**
 * Frees the head of the file on disk so that about `keep` bytes remain; its length stays. Nothing happens before twice
 * `keep` is in use. @throws where `fallocate` fails (no such program, a file system without holes): the caller says so once
 */
export async function boundLog(path: string, keep: number): Promise<void> {
  const { size, blocks } = await stat(path)
  if (blocks * 512 <= keep * 2) return
  const length = Math.floor((size - keep) / block) * block
  if (length <= 0) return
  await promisify(execFile)('fallocate', ['--punch-hole', '--offset', '0', '--length', String(length), path], {
    timeout: 60_000,
  })
}

/**
 * The lines from byte `from` on, split at \n and \r, without empty ones, and then each new one, until `abort`. Reads only as
 * fast as it is asked. A file that is not there yet is waited for; ends, and never throws, on abort.
 */
export async function* tailLines(
  path: string,
  from: number,
  abort: AbortSignal,
  clock: Clock = systemClock,
): AsyncGenerator<LogLine> {
  const file = await whenOpen(path, abort, clock)
  if (!file) return
  const bell = startBell(path, clock)
  try {
    let at = Math.max(from, await findLogStart(file))
    let rest = Buffer.alloc(0)
    const buffer = Buffer.alloc(65_536)
    while (!abort.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at + rest.length)
      if (bytesRead === 0) {
        await bell.wait(abort)
        continue
      }
      const chunk = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      let begin = 0
      for (let end = nextEnd(chunk, begin); end >= 0; end = nextEnd(chunk, begin)) {
        const text = chunk.toString('utf8', begin, end)
        begin = end + (isBreak(chunk[end]) ? 1 : 0)
        if (text.trim() !== '') yield { text, next: at + begin }
        if (abort.aborted) return
      }
      at += begin
      rest = Buffer.from(chunk.subarray(begin))
    }
  } finally {
    bell.end()
    await file.close()
  }
}

/** The last `count` lines of it, oldest first; none where there is no file, or it cannot be read. Never throws. */
export async function readLastLines(path: string, count: number, bytes = 262_144): Promise<string[]> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return []
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - bytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
    const text = buffer.toString('utf8', 0, bytesRead).replaceAll('\0', '')
    const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '')
    return (count === 0 ? [] : lines.slice(-count)).map((line) => line.slice(0, longestLine))
  } catch {
    return []
  } finally {
    await file.close().catch(() => {})
  }
}

/** Where the punched head ends: a log has no zero bytes, so the hole is found by halving. */
export async function findLogStart(file: FileHandle): Promise<number> {
  const probe = Buffer.alloc(1)
  const isHole = async (at: number) => (await file.read(probe, 0, 1, at)).bytesRead === 1 && probe[0] === 0
  if (!(await isHole(0))) return 0
  let hole = 0
  let data = Math.ceil((await file.stat()).size / block)
  while (data - hole > 1) {
    const middle = Math.floor((hole + data) / 2)
    if (await isHole(middle * block)) hole = middle
    else data = middle
  }
  return data * block
}

function nextEnd(chunk: Buffer, begin: number): number {
  for (let at = begin; at < chunk.length; at += 1) {
    if (isBreak(chunk[at]) || at - begin >= longestLine) return at
  }
  return -1
}

const isBreak = (byte: number | undefined): boolean => byte === 10 || byte === 13

async function whenOpen(path: string, abort: AbortSignal, clock: Clock): Promise<FileHandle | undefined> {
  while (!abort.aborted) {
    const file = await open(path, 'r').catch(() => undefined)
    if (file) return file
    await clock.wait(50, abort)
  }
  return undefined
}

/** Rings when the file changed since the last wait. */
export function startBell(path: string, clock: Clock = systemClock) {
  let nap = new AbortController()
  const ring = () => nap.abort()
  let end = () => {}
  let every = lookWatchedEvery
  const blind = () => void (every = lookEvery)
  try {
    const watcher = watch(path, { persistent: false }, ring)
    watcher.on('error', () => {
      blind()
      watcher.close()
    })
    end = () => watcher.close()
  } catch {
    // No inotify watch left: the timer looks.
    blind()
  }
  return {
    end,
    async wait(abort: AbortSignal): Promise<void> {
      const forget = onAbort(abort, ring)
      await clock.wait(every, nap.signal)
      forget()
      nap = new AbortController()
    },
  }
}
