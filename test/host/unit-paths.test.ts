import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { applyUnitPaths, isInHome, renderUnitPaths } from '../../src/host/unit-paths.ts'
import { tempDir } from '../support/temp-dir.ts'

test('the usual folders need nothing; others are opened, the outer one where one lies in the other', () => {
  expect(
    renderUnitPaths({ writable: ['/data/huggingface', '/var/log/vllm-poc', '/tmp/x'], homes: false }),
  ).toBeUndefined()
  const text = renderUnitPaths({ writable: ['/mnt/m/hf', '/opt/c', '/mnt/m', '/mnt/m2', '/database'], homes: true })
  expect(text?.split('\n').slice(1)).toEqual([
    '[Service]',
    'ProtectHome=read-only',
    'ReadWritePaths="-/database"',
    'ReadWritePaths="-/mnt/m"',
    'ReadWritePaths="-/mnt/m2"',
    'ReadWritePaths="-/opt/c"',
    '',
  ])
  expect(['/home/u', '/root', '/homes/u', '/opt/home/u', '/run/user/1000/x'].map(isInHome)).toEqual([
    true,
    true,
    false,
    false,
    true,
  ])
})

test('a path can say nothing else to systemd than itself, and never opens the whole disk', () => {
  const writable = ['/a b%h', '/c"d\\e', '/x\nExecStart=/bin/sh', '/']
  expect(renderUnitPaths({ writable, homes: false })?.split('\n').slice(2, -1)).toEqual([
    'ReadWritePaths="-/a b%%h"',
    'ReadWritePaths="-/c\\"d\\\\e"',
  ])
})

async function system(script: string) {
  const folder = await tempDir()
  const systemctl = join(folder, 'systemctl')
  await writeFile(systemctl, `#!/bin/sh\necho "$@" >> ${folder}/asked\n${script}\n`)
  await chmod(systemctl, 0o755)
  const asked = () => readFile(join(folder, 'asked'), 'utf8').catch(() => '')
  const dropIn = () => readFile(join(folder, 'x.service.d/50-paths.conf'), 'utf8').catch(() => undefined)
  return { folder, apply: (text?: string) => applyUnitPaths('x.service', text, { folder, systemctl }), asked, dropIn }
}

test('systemd reads the drop-in when it changes, and is not asked when it does not', async () => {
  const { apply, asked, dropIn } = await system('')
  expect(await apply()).toBeUndefined()
  expect(await asked()).toBe('')
  await apply('one')
  await apply('one')
  expect([await dropIn(), await asked()]).toEqual(['one', 'daemon-reload\n'])
  await apply()
  expect([await dropIn(), await asked()]).toEqual([undefined, 'daemon-reload\ndaemon-reload\n'])
})

test('a reload that fails is told, and tried again at the next start', async () => {
  const { apply, asked } = await system('echo "no bus" >&2; exit 1')
  expect(await apply('one')).toBe('systemctl daemon-reload: exit 1: no bus')
  await apply('one')
  expect(await asked()).toBe('daemon-reload\ndaemon-reload\n')
  const folder = await tempDir()
  await mkdir(join(folder, 'x.service.d'))
  expect(await applyUnitPaths('x.service', 'one', { folder, systemctl: '/nowhere' })).toContain('not-started')
})

test('what was written by somebody who was killed before systemd read it is read at the next start', async () => {
  const { apply, asked, dropIn, folder } = await system(`[ -e "$0.well" ] || kill -9 $PPID`)
  const script = `import { applyUnitPaths } from ${JSON.stringify(join(import.meta.dirname, '../../src/host/unit-paths.ts'))}
    await applyUnitPaths('x.service', 'one', { folder: ${JSON.stringify(folder)}, systemctl: ${JSON.stringify(join(folder, 'systemctl'))} })`
  const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  expect([killed.signal, await dropIn()]).toEqual(['SIGKILL', 'one'])
  await writeFile(join(folder, 'systemctl.well'), '')
  expect(await apply('one')).toBeUndefined()
  await apply('one')
  expect(await asked()).toBe('daemon-reload\ndaemon-reload\n')
})
