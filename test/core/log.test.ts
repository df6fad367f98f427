import { expect, test } from 'vitest'
import { createLog } from '../../src/core/log.ts'
import { createSecrets } from '../../src/core/secrets.ts'

function linesOf(journal: boolean): string[] {
  const lines: string[] = []
  const secrets = createSecrets()
  secrets.add('a-token-of-ours')
  const log = createLog({ level: 'info', secrets, journal, write: (line) => lines.push(line) })
  log.info({}, 'fine')
  log.child({ part: 'x' }).error({ err: new Error('refused: a-token-of-ours') }, 'not fine')
  return lines
}

test('under journald each line begins with its priority, elsewhere it is JSON alone', () => {
  expect(linesOf(true).map((line) => line.slice(0, 4))).toEqual(['<6>{', '<3>{'])
  expect(linesOf(false).map((line) => line.slice(0, 1))).toEqual(['{', '{'])
})

test('a secret in an error does not get out', () => {
  expect(linesOf(true).join('')).not.toContain('a-token-of-ours')
})
