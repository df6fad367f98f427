// The unit files as systemd's own tools judge them.
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { renderUnitPaths } from '../../src/host/unit-paths.ts'
import { bringCommands, describeWith, provide } from '../support/real.ts'
import { tempDir } from '../support/temp-dir.ts'

const run = promisify(execFile)
const folder = join(import.meta.dirname, '../../systemd')
const analyze = await provide('systemd-analyze', () => bringCommands({ 'systemd-analyze': 'systemd' }))

describeWith('systemd-analyze', analyze, () => {
  const opened = renderUnitPaths({ writable: ['/mnt/models', '/opt/a cache'], homes: true }) ?? ''

  test.each([
    ['as installed', ''],
    ['with paths of its own, in home folders too', opened],
  ])('the exposure of the unit %s is at most 3.0', async (_, dropIn) => {
    const text = await readFile(join(folder, 'gonka-node.service'), 'utf8')
    const path = join(await tempDir(), 'gonka-node.service')
    await writeFile(
      path,
      text.replace('\n[Install]', () => `\n${dropIn}\n[Install]`),
    )
    const args = ['security', '--offline=true', '--threshold=30', path]
    const { stdout } = await run('systemd-analyze', args, { maxBuffer: 1_000_000 })
    expect(Number(/exposure level for gonka-node\.service: (\d+\.\d)/.exec(stdout)?.[1])).toBeLessThanOrEqual(3)
  })

  test('systemd knows every setting of the units', async () => {
    const copies = await tempDir()
    const units = ['gonka-node.service', 'gonka-node-config.path', 'gonka-node-sweep.service']
    for (const unit of units) {
      const text = await readFile(join(folder, unit), 'utf8')
      // The programs are looked for where they are installed.
      await writeFile(join(copies, unit), text.replaceAll('/usr/bin/gonka-node', '/bin/true'))
      await mkdir(join(copies, 'gonka-node.service.d'), { recursive: true })
      await writeFile(join(copies, 'gonka-node.service.d/50-paths.conf'), opened)
    }
    const { stderr } = await run('systemd-analyze', [
      'verify',
      '--recursive-errors=no',
      ...units.map((unit) => join(copies, unit)),
    ]).catch((error: { stderr: string }) => error)
    expect(stderr.split('\n').filter((line) => /gonka-node/.test(line))).toEqual([])
  })
})
