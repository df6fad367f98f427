import { appendFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { boundLog, readLastLines, tailLines } from '../../src/core/log-file.ts'
import { tempDir } from '../support/temp-dir.ts'

test('lines come as they are written, split at carriage returns, with the offset of the next one', async () => {
  const path = join(await tempDir(), 'log')
  const abort = new AbortController()
  const seen: string[] = []
  const offsets: number[] = []
  setTimeout(() => void writeFile(path, 'one\n 10%\r 20%\r\ntwo\nhalf'), 20)
  for await (const { text, next } of tailLines(path, 0, abort.signal)) {
    seen.push(text)
    offsets.push(next)
    if (text === 'two') await appendFile(path, ' done\n')
    if (text === 'half done') abort.abort()
  }
  expect(seen).toEqual(['one', ' 10%', ' 20%', 'two', 'half done'])
  expect(offsets).toEqual([4, 9, 14, 19, 29])
})

test('a line without an end is cut, never kept whole in memory', async () => {
  const path = join(await tempDir(), 'log')
  await writeFile(path, `${'x'.repeat(100_000)}\nend\n`)
  const abort = new AbortController()
  let longest = 0
  let bytes = 0
  for await (const { text } of tailLines(path, 0, abort.signal)) {
    longest = Math.max(longest, text.length)
    if (text === 'end') abort.abort()
    else bytes += text.length
  }
  expect(longest).toBeLessThanOrEqual(16_384)
  expect(bytes).toBe(100_000)
})

test('the head is punched free while the tail, the length and the offsets stay', async () => {
  const path = join(await tempDir(), 'log')
  const line = `${'y'.repeat(99)}\n`
  await writeFile(path, line.repeat(10_000))
  await appendFile(path, 'last\n')
  const before = (await stat(path)).size
  await boundLog(path, 100_000)
  const after = await stat(path)
  expect(after.size).toBe(before)
  expect(after.blocks * 512).toBeLessThan(120_000)
  await appendFile(path, 'newer\n')
  const abort = new AbortController()
  const seen: string[] = []
  for await (const { text } of tailLines(path, 0, abort.signal)) {
    seen.push(text)
    if (text === 'newer') abort.abort()
  }
  expect(seen.slice(-2)).toEqual(['last', 'newer'])
  expect(seen.length).toBeGreaterThan(990)
  expect(seen.some((text) => text.includes('\0'))).toBe(false)
  expect(await readLastLines(path, 2)).toEqual(['last', 'newer'])
  expect(await readLastLines(path, 0)).toEqual([])
})

test('a log that cannot be read has no lines, and is no exception', async () => {
  expect(await readLastLines(await tempDir(), 5)).toEqual([])
})
