import { chmod, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { startAccess } from '../../src/http/access.ts'
import { toPlace } from '../../src/http/attempts.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

function start(options: { accessKey?: string; accessKeyFile?: string; clock?: Clock }) {
  const { accessKey, accessKeyFile, clock } = options
  const access = startAccess({ accessKey, accessKeyFile, log: silentLog, every: 20, ...(clock && { clock }) })
  onTestFinished(() => access.end('stop'))
  return { access, judge: (key: string, address = '10.0.0.1') => access.judge(`Bearer ${key}`, address) }
}

test('without a key everybody is let in, and a key of blanks is none', () => {
  expect(start({}).access.judge(undefined, 'a')).toBe('ok')
  expect(start({ accessKey: '  ' }).access.judge(undefined, 'a')).toBe('ok')
})

test('keys come and go with their file; a file that goes bad leaves the last good keys', async () => {
  const file = join(await tempDir(), 'keys')
  const put = async (text: string, mode = 0o600) => {
    await writeFile(`${file}.new`, text)
    await chmod(`${file}.new`, mode)
    await rename(`${file}.new`, file)
  }
  await put('# ours\n first \r\n\nsecond\n')
  const { access, judge } = start({ accessKey: 'env', accessKeyFile: file })
  await eventually('keys of the file', () => judge('first', 'b1') === 'ok')
  expect([judge('second'), judge('env'), judge('# ours')]).toEqual(['ok', 'ok', 'unauthorized'])

  await put('third\n')
  await eventually('the third key', () => judge('third', 'b2') === 'ok')
  expect([judge('first'), judge('env')]).toEqual(['unauthorized', 'ok'])

  await put('fourth\n', 0o644)
  await eventually('a problem', () => access.status.peek().problem?.code === 'access-key-file')
  expect(access.status.peek().problem?.evidence).toContain('everybody (mode 0644)')
  expect([judge('third'), judge('fourth'), judge('env')]).toEqual(['ok', 'unauthorized', 'ok'])

  await put('\n# none\n')
  await eventually('no key in it', () => /holds no key/.test(access.status.peek().problem?.evidence ?? ''))
  await put('fifth')
  await eventually('the fifth key', () => judge('fifth', 'b3') === 'ok')
  expect(access.status.peek().health).toBe('ok')
})

test('a key file that was never there lets nobody in', async () => {
  const { access, judge } = start({ accessKeyFile: join(await tempDir(), 'absent') })
  expect(judge('')).toBe('unauthorized')
  await eventually('a problem', () => access.status.peek().problem?.code === 'access-key-file')
  expect(access.judge(undefined, 'a')).toBe('unauthorized')
})

test('who guesses is held off for a while, others and callers without a key are not', () => {
  const time = { now: 0 }
  const clock: Clock = { ...systemClock, now: () => time.now }
  const { access, judge } = start({ accessKey: 'key', clock })
  const guesses = Array.from({ length: 40 }, (_, at) => judge(`guess ${at}`))
  expect(guesses.filter((one) => one === 'unauthorized')).toHaveLength(30)
  expect(judge('key')).toBe('limited')
  expect([judge('key', '10.0.0.2'), access.judge(undefined, '10.0.0.1')]).toEqual(['ok', 'unauthorized'])
  expect(access.waitFor('10.0.0.1')).toBe(2)
  expect(judge('key', '::ffff:10.0.0.1')).toBe('limited')
  time.now += 2000
  expect(judge('guess')).toBe('unauthorized')
  expect(judge('key')).toBe('limited')
})

test('a short key cannot be guessed without limit, not even from where somebody was right before', () => {
  const { judge } = start({ accessKey: '4711', clock: { ...systemClock, now: () => 0 } })
  expect(judge('4711')).toBe('ok')
  const guesses = Array.from({ length: 10_000 }, (_, at) => judge(String(at).padStart(4, '0')))
  expect(guesses).not.toContain('ok')
})

test('a key that is too long to be guessed is never refused, whoever else guesses from the address', () => {
  const key = '0123456789abcdef0123456789abcdef'
  const { access, judge } = start({ accessKey: key })
  for (let at = 0; at < 100; at += 1) judge(`guess ${at}`)
  expect([judge(key.replace('f', 'e')), judge(key)]).toEqual(['limited', 'ok'])
  const basic = (text: string) => access.judge(`Basic ${Buffer.from(text).toString('base64')}`, '10.0.0.1')
  expect([basic(`somebody:${key}`), basic('a-long-name-of-somebody:guess')]).toEqual(['ok', 'limited'])
})

test('clients that go on with old keys lock nobody out who comes from the same address', () => {
  const { judge } = start({ accessKey: 'key' })
  for (let at = 0; at < 400; at += 1) expect(judge(`old ${at % 8}`)).toBe('unauthorized')
  expect(judge('key')).toBe('ok')
})

test('the table of guessers is bounded', () => {
  const { judge } = start({ accessKey: 'key' })
  for (let at = 0; at < 30; at += 1) judge(`guess ${at}`, 'first')
  expect(judge('guess', 'first')).toBe('limited')
  for (let at = 0; at < 5000; at += 1) judge('guess', `10.${at}`)
  expect(judge('guess', 'first')).toBe('unauthorized')
})

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::0001', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('%s counts as %s', (address, place) => expect(toPlace(address)).toBe(place))
