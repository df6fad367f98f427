import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { readJson, writeJson } from '../../src/core/json-file.ts'
import { tempDir } from '../support/temp-dir.ts'

const schema = z.object({ count: z.number() })

test('a state file is written whole, for its owner alone, and nothing is left beside it', async () => {
  const folder = await tempDir()
  const path = join(folder, 'deep', 'state.json')
  await Promise.all(Array.from({ length: 20 }, (_, count) => writeJson(path, { count })))
  expect((await readJson(path, schema)).kind).toBe('value')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(join(folder, 'deep'))).toEqual(['state.json'])
})

test.each([
  ['', 'cut short'],
  ['{"count":', 'half written'],
  ['{"count":"x"}', 'of another shape'],
  ['\u0000\u0001', 'binary'],
])('a state file that is %j (%s) is said to be bad, with the reason', async (text) => {
  const path = join(await tempDir(), 'state.json')
  await writeFile(path, text)
  const found = await readJson(path, schema)
  expect(found).toMatchObject({ kind: 'bad', why: expect.stringMatching(/./) })
})

test('a missing state file is none, and a full or read-only disk is told to the caller', async () => {
  expect(await readJson('/nonexistent/state.json', schema)).toEqual({ kind: 'none' })
  await expect(writeJson('/proc/state.json', {})).rejects.toThrow(/./)
})
