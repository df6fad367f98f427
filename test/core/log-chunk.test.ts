import { execFileSync } from 'node:child_process'
import { appendFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { judgeCut, readLogPiece } from '../../src/core/log-chunk.ts'
import { followLog } from '../../src/fleet/launch-log.ts'
import { tempDir } from '../support/temp-dir.ts'

const text = 'aé€😀z\n'

test('whatever the size of the pieces, each is whole characters, and together they are the text', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, text.repeat(20))
  for (let most = 1; most <= 12; most += 1) {
    let [at, all] = [0, '']
    for (;;) {
      const piece = await readLogPiece(path, at, most, true)
      expect(piece.offset).toBe(at)
      if (piece.content === '') break
      expect(Buffer.byteLength(piece.content)).toBe(piece.next - piece.offset)
      expect(piece.content).not.toContain('\uFFFD')
      all += piece.content
      at = piece.next
    }
    expect(all).toBe(text.repeat(20))
  }
})

test('an offset beyond the end is clamped to it, and a log that is not there is empty', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, 'abc')
  expect(await readLogPiece(path, 99, 10, false)).toEqual({ offset: 3, next: 3, content: '' })
  expect(await readLogPiece(`${path}-none`, 5, 10, false)).toEqual({ offset: 0, next: 0, content: '' })
})

test('an unfinished character waits for its rest; at the end of all it is given out', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, Buffer.from('ab€').subarray(0, 4))
  expect(await readLogPiece(path, 0, 10, false)).toEqual({ offset: 0, next: 2, content: 'ab' })
  expect((await readLogPiece(path, 0, 10, true)).next).toBe(4)
})

test('bytes that are no text are never cut for ever', () => {
  const noise = Uint8Array.from({ length: 64 }, () => 0x80)
  expect(judgeCut(noise, 10, false)).toBe(10)
  expect(judgeCut(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff), 1, false)).toBeGreaterThan(0)
})

test('the head that a bound cut off is skipped, and offsets stay', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, `${'x'.repeat(8191)}\n${'y'.repeat(4096)}`)
  try {
    execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', '8192', path], { stdio: 'ignore' })
  } catch {
    // A file system without holes: what a hole reads as is all that counts.
    await writeFile(path, Buffer.concat([Buffer.alloc(8192), Buffer.from('y'.repeat(4096))]))
  }
  expect(await readLogPiece(path, 10, 5, false)).toEqual({ offset: 8192, next: 8197, content: 'yyyyy' })
})

test('a log is followed while it is written, until its launch has ended', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, 'one\n')
  const ended = signal(false)
  const seen: string[] = []
  for await (const { content } of followLog({ path: () => path, ended }, 0, AbortSignal.timeout(10_000))) {
    seen.push(content)
    if (seen.length === 1) await appendFile(path, 'two\n')
    else ended.value = true
  }
  expect(seen.join('')).toBe('one\ntwo\n')
})

test('a log that is moved when its engine ends is followed to its last word', async () => {
  const root = await tempDir()
  const [before, after] = [join(root, 'log'), join(root, 'kept')]
  await writeFile(before, 'one\n')
  const ended = signal(false)
  const place = { path: before }
  const seen: string[] = []
  for await (const { content } of followLog({ path: () => place.path, ended }, 0, AbortSignal.timeout(10_000))) {
    seen.push(content)
    if (seen.length > 1) continue
    await appendFile(before, 'two\n')
    await rename(before, after)
    place.path = after
    ended.value = true
  }
  expect(seen.join('')).toBe('one\ntwo\n')
})

test('who follows a log that rests hears at once that its launch has ended', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, 'one\n')
  const ended = signal(false)
  const reader = followLog({ path: () => path, ended }, 0, AbortSignal.timeout(10_000))
  await reader.next()
  const over = reader.next()
  // It has asked before: without being told it would look again after 5 s.
  const began = performance.now()
  ended.value = true
  expect(await over).toEqual({ done: true, value: undefined })
  expect(performance.now() - began).toBeLessThan(3000)
})
