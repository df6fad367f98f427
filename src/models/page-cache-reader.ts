// The process that reads weight files so that they are in the page cache: large plain reads, several at once, in load order.
// On its own, because 16 blocking reads would fill the thread pool of whoever runs them. Reads its plan from stdin, prints the bytes read,
// and how many of them without a gap.
import { type FileHandle, open } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { text } from 'node:stream/consumers'

/** `from`: 0 where it is absent; `bytes`: so many from there. */
export type ReadPlan = { files: readonly { path: string; from?: number; bytes: number }[]; readers: number }

const readBytes = 1 << 20
/** A reader's share: small enough that all work on the same file, which keeps the order; large enough for readahead. */
const shareBytes = 32 << 20

/** @param told all that was read, and what of it is without a gap from the first byte on */
export async function readAll(plan: ReadPlan, told: (bytes: number, inOrder: number) => void): Promise<number> {
  const all = plan.files.flatMap(({ path, from = 0, bytes }) =>
    Array.from({ length: Math.ceil(bytes / shareBytes) }, (_, at) => ({
      path,
      from: from + at * shareBytes,
      to: from + Math.min(bytes, (at + 1) * shareBytes),
      isRead: false,
    })),
  )
  const left = [...all]
  const state = { bytes: 0, first: 0, inOrder: 0 }
  const work = async () => {
    const buffer = Buffer.allocUnsafe(readBytes)
    for (let share = left.shift(); share; share = left.shift()) {
      const file = await open(share.path, 'r')
      try {
        await readShare({ file, ...share, buffer }, (bytes) => told((state.bytes += bytes), state.inOrder))
      } finally {
        await file.close()
      }
      share.isRead = true
      for (let next = all[state.first]; next?.isRead; next = all[(state.first += 1)])
        state.inOrder += next.to - next.from
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, plan.readers) }, work))
  return state.bytes
}

type Share = { file: FileHandle; from: number; to: number; buffer: Buffer }

async function readShare({ file, from, to, buffer }: Share, told: (bytes: number) => void): Promise<void> {
  for (let at = from; at < to;) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at)
    if (bytesRead === 0) return
    at += bytesRead
    told(bytesRead)
  }
}

if (import.meta.main) {
  // Loading engines and the daemon come first.
  setPriority(10)
  process.stdout.on('error', () => process.exit(1))
  const plan = JSON.parse(await text(process.stdin)) as ReadPlan
  const last = { at: 0 }
  const bytes = await readAll(plan, (done, inOrder) => {
    if (performance.now() - last.at < 500) return
    last.at = performance.now()
    process.stdout.write(`${done} ${inOrder}\n`)
  })
  process.stdout.write(`${bytes} ${bytes}\n`)
}
