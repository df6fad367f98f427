import { execFile } from 'node:child_process'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startPaths, type WatchedPath } from '../../src/host/paths-part.ts'
import { cameAfter, readFileMark, readPrepared, writePrepared } from '../../src/host/prepared.ts'
import { judgeWritable } from '../../src/host/writable.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Judged by somebody who may not do everything, as root may. */
async function asNobody(path: string): Promise<string> {
  const module = join(import.meta.dirname, '../../src/host/writable.ts')
  const program = `import(process.argv[1]).then(async ({ judgeWritable }) => {
    if (process.getuid() === 0) [process.setgroups([]), process.setgid(65534), process.setuid(65534)]
    console.log((await judgeWritable(process.argv[2])) ?? 'fine')
  })`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, module, path])
  return stdout.trim()
}

test('a folder that can be written, or made, is fine; a file in its place is not', async () => {
  const root = await tempDir()
  expect(await judgeWritable(root)).toBeUndefined()
  expect(await judgeWritable(join(root, 'a/b/c'))).toBeUndefined()
  await writeFile(join(root, 'file'), '')
  expect(await judgeWritable(join(root, 'file/below'))).toMatch(/^has a file where a folder is needed; /)
  await chmod(join(root, 'file'), 0o755)
  expect(await judgeWritable(join(root, 'file'))).toMatch(/^is no folder; /)
  expect(await judgeWritable('/proc/sys/nowhere')).toMatch(/; /)
})

test("another user's folder is told with its owner, a closed one on the way by its name, and each with what to run", async () => {
  const root = await tempDir()
  await chmod(root, 0o755)
  await mkdir(join(root, 'theirs'), { mode: 0o555 })
  await mkdir(join(root, 'closed/inside'), { recursive: true })
  await chmod(join(root, 'closed'), 0o600)
  expect(await asNobody(join(root, 'theirs'))).toMatch(
    /^belongs to uid \d+ with mode 555, we are \w+; `chown -R \w+ \/.*theirs`, or name another folder$/,
  )
  expect(await asNobody(join(root, 'theirs/hf/hub'))).toMatch(
    /^does not exist, and \/.*theirs\/hf belongs to uid|^does not exist, and .*; make it yourself: `install -d -o \w+ \/.*theirs\/hf\/hub`$/,
  )
  expect(await asNobody(join(root, 'closed/inside'))).toMatch(
    /^is behind \/.*closed, which is closed to \w+; `chmod o\+x \/.*closed`, or name a folder elsewhere$/,
  )
})

test('each folder that cannot be written is named with its variable and line, and mended by itself', async () => {
  const root = await tempDir()
  await writeFile(join(root, 'a'), '')
  const wanted: WatchedPath[] = [
    { variable: 'HF_HOME', where: '/etc/x.env:3', path: join(root, 'a/hf') },
    { variable: 'LOG_DIR', where: 'default', path: root },
  ]
  const wake = signal(0)
  const part = startPaths({ paths: () => wanted, wake, log: silentLog, every: 600_000 })
  onTestFinished(() => part.end('stop'))
  await eventually('it is said', () => part.status.peek().problem)
  expect(part.status.peek()).toMatchObject({
    health: 'degraded',
    problem: {
      code: 'path-unwritable',
      evidence: expect.stringMatching(/^HF_HOME \(\/etc\/x\.env:3\): \/.*a\/hf has a file [^\n]*$/),
    },
  })
  wanted.shift()
  wake.value += 1
  await eventually('it is well', () => part.status.peek().health === 'ok')
})

test('a file that came, or was replaced, after the privileged step is known; one that it left so is not', async () => {
  const root = await tempDir()
  const [file, runDir] = [join(root, 'env'), join(root, 'run')]
  expect(await cameAfter(undefined, [file])).toBe(false)
  await writePrepared(runDir, { volume: 'none', files: { [file]: await readFileMark(file) } })
  expect(await cameAfter(await readPrepared(runDir), [file])).toBe(false)
  await writeFile(file, 'A=1')
  expect(await cameAfter(await readPrepared(runDir), [file])).toBe(true)
  await writePrepared(runDir, { volume: 'missing', files: { [file]: await readFileMark(file) } })
  expect(await readPrepared(runDir)).toMatchObject({ volume: 'missing' })
  expect(await cameAfter(await readPrepared(runDir), [file])).toBe(false)
  await chmod(file, 0o600)
  expect(await cameAfter(await readPrepared(runDir), [file])).toBe(true)
})
