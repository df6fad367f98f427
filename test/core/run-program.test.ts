// Short-lived programs: how each of their ends is told, and that none outlives its end.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runProgram } from '../../src/core/run-program.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

const bounds = { timeout: 20_000 }

/** A zombie that nobody reaps has no command line any more. */
const isAlive = (pid: number) =>
  readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (line) => line !== '',
    () => false,
  )

test('a program that ends tells its exit code and what it said', async () => {
  const outcome = await runProgram('sh', ['-c', 'cat; echo wrong >&2; exit 3'], { ...bounds, input: 'asked' })
  expect(outcome).toEqual({ kind: 'exited', code: 3, stdout: 'asked', stderr: 'wrong\n' })
})

test('a program that is not there is told as not started', async () => {
  expect(await runProgram('/nowhere/at-all', [], bounds)).toMatchObject({ kind: 'not-started', code: 'ENOENT' })
})

test('a program that does not end in time is killed, and so is what it started', async () => {
  const outcome = await runProgram('sh', ['-c', 'sleep 600 & echo $! >&2; wait'], { timeout: 1000 })
  if (outcome.kind !== 'timed-out') throw new Error(`ended as ${outcome.kind}`)
  await outcome.gone
  expect(await isAlive(outcome.pid)).toBe(false)
  await expect.poll(() => isAlive(Number(outcome.stderr))).toBe(false)
})

test('a program that is aborted is gone by the time this is told', async () => {
  const file = join(await tempDir(), 'pid')
  const stop = new AbortController()
  const line = 'echo $$ > "$1.new"; mv "$1.new" "$1"; exec sleep 600'
  const asked = runProgram('sh', ['-c', line, 'sh', file], { ...bounds, abort: stop.signal })
  const pid = await eventually('it runs', () => readFile(file, 'utf8').then(Number, () => undefined))
  stop.abort()
  expect(await asked).toEqual({ kind: 'aborted' })
  expect(await isAlive(pid)).toBe(false)
})
