import { execFileSync } from 'node:child_process'
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { configPlaces } from '../support/config-places.ts'

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

test.skipIf(process.getuid?.() === 0)(
  'a file that we may not read is a problem that names mode and owner (not as root, who may read all)',
  async () => {
    const places = await configPlaces(node)
    await chmod(places.file, 0)
    const loaded = await loadConfig(places)
    expect(loaded).toMatchObject({ kind: 'bad', problems: [{ code: 'config-unreadable' }] })
  },
)
