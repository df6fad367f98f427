import { expect, test } from 'vitest'
import { judgeAccess } from '../../src/http/access-key.ts'

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

test.each([
  ['', undefined, true],
  ['   ', undefined, true],
  ['key', 'Bearer key', true],
  [' key ', '  bearer   key  ', true],
  ['schlüssel', Buffer.from('Bearer schlüssel').toString('latin1'), true],
  ['key', basic('anybody:key'), true],
  ['key', basic(':key'), true],
  ['a:key', basic('u:a:key'), true],
  ['key', basic('u:a:key'), false],
  ['key', basic('key'), false],
  ['key', 'Basic !!!', false],
  ['key', 'Digest key', false],
  ['key', 'Bearer', false],
  ['key', 'Bearer keys', false],
  ['key', undefined, false],
])('key %j lets %j in: %j', (key, authorization, allowed) => {
  expect(judgeAccess(key, authorization)).toBe(allowed)
})
