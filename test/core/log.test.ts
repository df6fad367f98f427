import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
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

test('a full disk under stdout costs lines, not the daemon', async () => {
  const from = (name: string) => JSON.stringify(join(import.meta.dirname, '../../src/core', name))
  const program = `
    import { createLog } from ${from('log.ts')}
    import { createSecrets } from ${from('secrets.ts')}
    const log = createLog({ level: 'info', secrets: createSecrets() })
    log.info({}, 'lost')
    setTimeout(() => log.info({}, 'lost as well'), 20)
    setTimeout(() => process.exit(7), 60)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', openSync('/dev/full', 'w'), 'ignore'],
  })
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(7)
})
