// The unit files as systemd's own tools judge them.
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { bringCommands, describeWith, provide } from '../support/real.ts'
import { tempDir } from '../support/temp-dir.ts'

const run = promisify(execFile)
const folder = join(import.meta.dirname, '../../systemd')
const analyze = await provide('systemd-analyze', () => bringCommands({ 'systemd-analyze': 'systemd' }))

describeWith('systemd-analyze', analyze, () => {
  test('the exposure of the unit is at most 3.0', async () => {
    const args = ['security', '--offline=true', '--threshold=30', join(folder, 'gonka-node.service')]
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
    }
    const { stderr } = await run('systemd-analyze', [
      'verify',
      '--recursive-errors=no',
      ...units.map((unit) => join(copies, unit)),
    ]).catch((error: { stderr: string }) => error)
    expect(stderr.split('\n').filter((line) => /gonka-node/.test(line))).toEqual([])
  })
})
