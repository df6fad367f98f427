import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readRealPaths } from '../../src/host/real-paths.ts'
import { tempDir } from '../support/temp-dir.ts'

test('paths without their links, as far as they are there', async () => {
  const folder = await tempDir()
  await mkdir(join(folder, 'disk'))
  await symlink('disk', join(folder, 'link'))
  const [path, strange] = [join(folder, 'link/a'), join(folder, 'link/b\nc')]
  expect(await readRealPaths([path, strange, path])).toEqual(
    new Map([
      [path, join(folder, 'disk/a')],
      [strange, join(folder, 'disk/b\nc')],
    ]),
  )
})

test('a disk that does not answer costs its own path alone, and a bounded time', async () => {
  const program = join(await tempDir(), 'realpath')
  await writeFile(program, '#!/bin/sh\ncase "$*" in */dead*) exec sleep 600 ;; esac\nexec realpath "$@"\n')
  await chmod(program, 0o755)
  const found = await readRealPaths(['/dead/nfs', '/proc/1'], { program, timeout: 1000 })
  expect([...found]).toEqual([
    ['/dead/nfs', undefined],
    ['/proc/1', '/proc/1'],
  ])
})
