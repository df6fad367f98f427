import { execFile } from 'node:child_process'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startPaths, type WatchedPath } from '../../src/host/paths-part.ts'
import { askOnce, cameAfter, forgetAsked, readFileMark, readPrepared, writePrepared } from '../../src/host/prepared.ts'
import { judgeWritable } from '../../src/host/writable.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Said by somebody who may not do everything, as root may. */
async function sayAsNobody(module: string, expression: string, ...args: string[]): Promise<string> {
  const program = `import(process.argv[1]).then(async (module) => {
    if (process.getuid() === 0) [process.setgroups([]), process.setgid(65534), process.setuid(65534)]
    const args = process.argv.slice(2)
    console.log(await ${expression})
  })`
  const path = join(import.meta.dirname, '../../src/host', module)
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, path, ...args])
  return stdout.trim()
}

const asNobody = (path: string) =>
  sayAsNobody('writable.ts', "module.judgeWritable(args[0]).then((wrong) => wrong ?? 'fine')", path)

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

test('what is hidden from us is never news, and a folder of drop-ins only where the privileged step told of it', async () => {
  const root = await tempDir()
  await chmod(root, 0o755)
  const [closed, runDir] = [join(root, 'closed'), join(root, 'run')]
  await mkdir(closed)
  await writeFile(join(closed, 'x.env'), 'A=1')
  await symlink(join(closed, 'x.env'), join(root, 'env'))
  const ofStep = { [join(root, 'env')]: await readFileMark(join(root, 'env')), [join(closed, 'x.env')]: 'absent' }
  await writePrepared(runDir, { volume: 'none', files: ofStep })
  await chmod(closed, 0o600)
  for (const path of Object.keys(ofStep)) {
    const judged = 'module.readPrepared(args[0]).then((found) => module.cameAfter(found, [args[1]]))'
    expect(await sayAsNobody('prepared.ts', judged, runDir, path)).toBe('false')
  }
  await chmod(closed, 0o755)
  const prepared = await readPrepared(runDir)
  expect(await cameAfter(prepared, [closed], closed)).toBe(false)
  expect(await cameAfter({ volume: 'none', files: { [closed]: 'absent' } }, [closed], closed)).toBe(true)
})

test('the privileged step is asked once for each change, also after a restart, and again once it was done', async () => {
  const runDir = await tempDir()
  expect(await askOnce(runDir, 'open', 'a')).toBe(true)
  expect(await askOnce(runDir, 'open', 'a')).toBe(false)
  expect(await askOnce(runDir, 'mount', 'a')).toBe(true)
  expect(await askOnce(runDir, 'open', 'b')).toBe(true)
  await forgetAsked(runDir, 'open')
  expect(await askOnce(runDir, 'open', 'b')).toBe(true)
  expect(await askOnce(runDir, 'mount', 'a')).toBe(false)
})

test('folders on a disk that does not answer hold one thread at most, are told, and keep nobody from ending', async () => {
  const asked: string[] = []
  const freed = Promise.withResolvers<undefined>()
  const judge = (path: string) => {
    asked.push(path)
    return path === '/fine' ? Promise.resolve(undefined) : freed.promise
  }
  const wanted = ['/fine', '/nfs/a', '/nfs/b', '/nfs/c'].map((path) => ({
    variable: 'LOG_DIR',
    where: 'default',
    path,
  }))
  const wake = signal(0)
  const part = startPaths({ paths: () => wanted, wake, log: silentLog, every: 600_000, patience: 20, judge })
  onTestFinished(() => part.end('stop'))
  await eventually('it is said', () => part.status.peek().problem)
  expect(part.status.peek().problem?.evidence).toMatch(/^LOG_DIR \(default\): \/nfs\/a does not answer; [^\n]*$/)
  wanted.pop()
  wake.value += 1
  expect(asked).toEqual(['/fine', '/nfs/a'])
  freed.resolve(undefined)
  await eventually('all are asked', () => {
    wake.value += 1
    return part.status.peek().health === 'ok' && asked.includes('/nfs/b')
  })
  expect(asked).not.toContain('/nfs/c')
})
