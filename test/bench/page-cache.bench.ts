// How fast weights come into the page cache, against fio (or dd) reading the same file one after the other.
import { randomFillSync } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../src/core/run-program.ts'
import { runReader } from '../../src/models/page-cache.ts'
import type { BenchRow } from './row.ts'

const bytes = 2 ** 30

export const rows: readonly BenchRow[] = [
  {
    name: 'pre-read ÷ fio on the same file',
    unit: '',
    goal: { atLeast: 0.95 },
    compare: 'fio, MB/s',
    async measure(context) {
      const path = await context.once('file', async () => {
        const folder = await makeFolder()
        context.after(() => rm(folder, { recursive: true, force: true }))
        return writeRandom(join(folder, 'weights'))
      })
      const ours = await measureSpeed(path, async () => {
        await runReader({ files: [{ path, bytes }], readers: 16 }, new AbortController().signal, () => {})
      })
      const plain = await measureSpeed(path, () => readPlainly(path))
      return { value: ours / plain, compared: Math.round(plain / 1e6), note: `${Math.round(ours / 1e6)} MB/s` }
    },
  },
]

/** On the disk of the checkout: /tmp may be memory. */
async function makeFolder(): Promise<string> {
  const cache = join(import.meta.dirname, '../../.cache')
  mkdirSync(cache, { recursive: true })
  return mkdtemp(join(cache, 'bench-'))
}

async function writeRandom(path: string): Promise<string> {
  const file = await open(path, 'w')
  const part = randomFillSync(Buffer.alloc(2 ** 24))
  for (let at = 0; at < bytes; at += part.length) await file.write(part, 0, part.length, at)
  await file.sync()
  await file.close()
  return path
}

/** Bytes per second, from a file of which nothing is in memory. */
async function measureSpeed(path: string, read: () => Promise<void>): Promise<number> {
  // posix_fadvise(DONTNEED) of the whole file: needs no root, unlike drop_caches.
  const args = [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']
  await runProgram('dd', args, { timeout: 30_000 })
  const began = performance.now()
  await read()
  return bytes / ((performance.now() - began) / 1000)
}

async function readPlainly(path: string): Promise<void> {
  const timeout = 300_000
  const options = ['--name=read', `--filename=${path}`, '--rw=read', '--bs=1M', '--ioengine=psync', '--readonly']
  const fio = await runProgram('fio', options, { timeout })
  if (fio.kind === 'exited' && fio.code === 0) return
  await runProgram('dd', [`if=${path}`, 'of=/dev/null', 'bs=1M', 'status=none'], { timeout })
}
