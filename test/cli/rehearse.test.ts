import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tempDir } from '../support/temp-dir.ts'

test('a rehearsal that cannot begin says why, ends, and leaves no process and no file', async () => {
  const folder = await tempDir()
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const program = join(import.meta.dirname, '../../src/bin.ts')
  const ended = spawnSync(process.execPath, [program, 'rehearse', '--json', '--port', `admin=${port}`], {
    env: { ...process.env, TMPDIR: folder },
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGKILL',
  })
  expect([ended.status, ended.stdout]).toEqual([70, ''])
  expect(ended.stderr).toContain(`EADDRINUSE: address already in use 127.0.0.1:${port}`)
  expect(readdirSync(folder).filter((name) => name.startsWith('gonka'))).toEqual([])
})
