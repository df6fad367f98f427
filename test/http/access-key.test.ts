import { expect, test } from 'vitest'
import { holdsKey, toKeyDigests } from '../../src/http/access-key.ts'

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

test.each([
  ['key', '  bearer   key  ', true],
  ['schlüssel', Buffer.from('Bearer schlüssel').toString('latin1'), true],
  ['schlüssel', 'Bearer schlüssel', true],
  ['schlüssel', basic('me:schlüssel'), true],
  ['ключ', Buffer.from('Bearer ключ').toString('latin1'), true],
  ['key', basic('anybody:key'), true],
  ['key', basic(':key'), true],
  ['a:key', basic('u:a:key'), true],
  ['key', basic('u:a:key'), false],
  ['key', basic('u: key '), true],
  ['key', basic('key'), false],
  ['key', basic('u:key').replaceAll('=', ''), false],
  ['key', 'Basic not-base64', false],
  ['key', 'Basic !!!', false],
  ['key', 'Digest key', false],
  ['key', 'Bearer', false],
  ['key', 'Bearer keys', false],
  ['key', undefined, false],
])('key %j lets %j in: %j', (key, authorization, allowed) => {
  expect(holdsKey(toKeyDigests([key]), authorization)).toBe(allowed)
})

test('any of several keys is enough', () => {
  const keys = toKeyDigests(['old', 'new', 'nëw'])
  expect(['old', 'new', 'nëw', 'newer'].map((key) => holdsKey(keys, `Bearer ${key}`))).toEqual([
    true,
    true,
    true,
    false,
  ])
})
