// The oldest Node.js that the client promises to work in: that of the machine, or brought from the package registry that npm is
// configured for into the ignored folder (some 40 MB, once).
import { execFile } from 'node:child_process'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, onlyOne, provide } from '../support/real.ts'

const run = promisify(execFile)

export const oldestNode = '20.20.2'

/** A program `node`. */
export const provideNode20 = () =>
  provide(`Node.js ${oldestNode}`, async () => (await findNode20()) ?? onlyOne('node-20', bringNode20))

async function findNode20(): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const program = join(folder, 'node')
    if (folder !== '' && !folder.includes('node_modules') && (await isNode20(program))) return program
  }
  return undefined
}

async function bringNode20(): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`
  const folder = join(cacheFolder, `${name}-${oldestNode}`)
  const program = join(folder, 'node_modules', name, 'bin', 'node')
  if (await isNode20(program)) return program
  const half = `${folder}.half`
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { recursive: true })
  await writeFile(join(half, 'package.json'), '{"private":true}\n')
  const flags = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
  await run('npm', ['install', ...flags, `${name}@${oldestNode}`], { cwd: half, timeout: 300_000 })
  await rm(folder, { recursive: true, force: true })
  await rename(half, folder)
  if (!(await isNode20(program))) throw new Error(`${program} does not run`)
  return program
}

const isNode20 = (program: string) =>
  run(program, ['-p', 'process.versions.node']).then(
    ({ stdout }) => stdout.startsWith('20.'),
    () => false,
  )
