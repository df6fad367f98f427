import { execFile, execFileSync } from 'node:child_process'
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { loadConfig, type Loaded } from '../../src/config/load.ts'
import { configPlaces } from '../support/config-places.ts'

const loadPath = join(import.meta.dirname, '../../src/config/load.ts')

/** Loads the configuration as somebody who may not read all, as root may. */
const program = `const [path, places] = process.argv.slice(1)
import(path).then(async ({ loadConfig }) => {
  if (process.getuid() === 0) [process.setgroups([]), process.setgid(65534), process.setuid(65534)]
  console.log(JSON.stringify(await loadConfig(JSON.parse(places))))
})`

const node = 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\nMODEL_NAME=org/model\n'

test.each([
  ['10 MB', Buffer.alloc(10 << 20, 'A=1\n'), /has 10485760 bytes/],
  ['binary', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2]), /is binary/],
  ['UTF-16', Buffer.from(`\uFEFF${node}`, 'utf16le'), /is binary or UTF-16; save it as UTF-8/],
])('a file that is %s is a problem, not a crash', async (_name, bytes, expected) => {
  const loaded = await loadConfig(await configPlaces(bytes))
  expect(loaded).toMatchObject({
    kind: 'bad',
    problems: [{ code: 'config-unreadable', message: expect.stringMatching(expected) as string }],
  })
})

test('what is no file is a problem: a folder, a fifo, a link in a circle, a folder of drop-ins that is a file is none', async () => {
  const places = await configPlaces(undefined)
  await mkdir(places.file)
  expect(await loadConfig(places)).toMatchObject({ kind: 'bad', problems: [{ code: 'config-unreadable' }] })
  await rm(places.file, { recursive: true })
  execFileSync('mkfifo', [places.file])
  expect(await loadConfig(places)).toMatchObject({ kind: 'bad', problems: [{ code: 'config-unreadable' }] })
  await rm(places.file)
  await symlink(places.file, places.file)
  expect(await loadConfig(places)).toMatchObject({ kind: 'bad', problems: [{ code: 'config-unreadable' }] })
  await rm(places.file)
  await writeFile(places.file, node)
  await writeFile(places.folder, 'x')
  expect(await loadConfig(places)).toMatchObject({ kind: 'ok' })
})

test('a file that we may not read is a problem of its own, that names mode and owner; written again it is another one', async () => {
  const places = await configPlaces(node)
  await chmod(dirname(places.file), 0o755)
  await chmod(places.file, 0)
  const asNobody = async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, loadPath, JSON.stringify(places)])
    return JSON.parse(stdout) as Loaded & { kind: 'bad' }
  }
  const first = await asNobody()
  expect(first).toMatchObject({
    kind: 'bad',
    problems: [{ code: 'config-forbidden', message: expect.stringContaining('make it root:gonka with mode 0640') }],
  })
  expect((await asNobody()).fingerprint).toBe(first.fingerprint)
  await rm(places.file)
  await writeFile(places.file, node, { mode: 0 })
  expect((await asNobody()).fingerprint).not.toBe(first.fingerprint)
})
