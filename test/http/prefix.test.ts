import { expect, test } from 'vitest'
import { stripVersionPrefix, toPath } from '../../src/http/prefix.ts'

test.each([
  ['/v3.0.8/api/v1/state', '/api/v1/state'],
  ['/v0.2.14-rc1/v1/models?x=/v3.0.8/', '/v1/models?x=/v3.0.8/'],
  ['/v3.0.8/v3.0.8/x', '/v3.0.8/x'],
  ['/v3.0.8', '/'],
  ['/v3.0.8?a=b', '/?a=b'],
  ['/v1/models', '/v1/models'],
  ['/v12/x', '/v12/x'],
  ['/v3.0.8x/y', '/v3.0.8x/y'],
  ['/api/v3.0.8/x', '/api/v3.0.8/x'],
  ['/', '/'],
])('%s is %s', (given, wanted) => {
  expect(stripVersionPrefix(given)).toBe(wanted)
})

test('an absolute target loses its origin', () => {
  expect(toPath('http://frps:20001/v1/models?x')).toBe('/v1/models?x')
  expect(toPath('http://frps')).toBe('/')
  expect(toPath('*')).toBe('/*')
})
