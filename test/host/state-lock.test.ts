import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Refusal } from '../../src/core/errors.ts'
import { takeStateLock, waitForStateLock } from '../../src/host/state-lock.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Another daemon as far as the lock is concerned. Resolves with its pid once it holds it. */
function startHolder(stateDir: string) {
  const lock = JSON.stringify(join(import.meta.dirname, '../../src/host/state-lock.ts'))
  const program = `import { takeStateLock, waitForStateLock } from ${lock}; await takeStateLock(process.argv[1]); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, stateDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const held = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  return { child, held }
}

test('a second daemon on the same state is refused with the pid of the first', async () => {
  const stateDir = await tempDir()
  const first = startHolder(stateDir)
  await first.held
  const refused = await takeStateLock(stateDir).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(Refusal)
  expect(refused).toMatchObject({ code: 'second-daemon', message: expect.stringContaining(`pid ${first.child.pid}`) })
})

test('a daemon killed with -9 leaves no lock behind', async () => {
  const stateDir = await tempDir()
  const first = startHolder(stateDir)
  await first.held
  first.child.kill('SIGKILL')
  await new Promise((resolve) => first.child.once('exit', resolve))
  await expect(takeStateLock(stateDir).then((lock) => lock.release())).resolves.toBeUndefined()
})

test('a frozen daemon still holds its state', async () => {
  const stateDir = await tempDir()
  const first = startHolder(stateDir)
  await first.held
  first.child.kill('SIGSTOP')
  await expect(takeStateLock(stateDir)).rejects.toMatchObject({ code: 'second-daemon' })
})

test('whoever waits for the lock is told once by whom it is held, and has it as soon as that one is gone', async () => {
  const stateDir = await tempDir()
  const first = startHolder(stateDir)
  await first.held
  const told: string[] = []
  const tell = ({ message }: Refusal) => {
    told.push(message)
    first.child.kill('SIGKILL')
  }
  const lock = await waitForStateLock(stateDir, { abort: AbortSignal.timeout(20_000), tell, every: 10 })
  await lock.release()
  expect(told).toEqual([expect.stringContaining(`pid ${first.child.pid}`)])
})

test('a wait for the lock has an end, and then names the holder', async () => {
  const stateDir = await tempDir()
  const lock = await takeStateLock(stateDir)
  const wait = waitForStateLock(stateDir, { abort: AbortSignal.timeout(100), tell: () => {}, every: 10 })
  await expect(wait).rejects.toMatchObject({
    code: 'second-daemon',
    message: expect.stringContaining(`${process.pid}`),
  })
  await lock.release()
})

test('daemons on different state folders do not see each other, and a released lock can be taken again', async () => {
  const [here, there] = [await tempDir(), await tempDir()]
  const first = await takeStateLock(here)
  const other = await takeStateLock(there)
  await first.release()
  await expect(takeStateLock(here).then((lock) => lock.release())).resolves.toBeUndefined()
  await expect(takeStateLock(there)).rejects.toMatchObject({ code: 'second-daemon' })
  await other.release()
})

test('somebody who asks for the holder and never hangs up does not hold up its end', async () => {
  const stateDir = await tempDir()
  const lock = await takeStateLock(stateDir)
  const hash = createHash('sha256')
    .update(await realpath(stateDir))
    .digest('hex')
  const visitor = connect({ path: `\0gonka-node/${hash.slice(0, 32)}`, allowHalfOpen: true })
  onTestFinished(() => void visitor.destroy())
  await once(visitor, 'data')
  await expect(lock.release()).resolves.toBeUndefined()
})
