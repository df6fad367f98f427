// The package as npm users have it: packed from a copy of the sources, unpacked beside the dependencies that are here already.
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
const parts = ['src', 'systemd', 'profile.d', 'package.json', 'tsconfig.json', 'README.md', 'LICENSE']

/** @returns the folder of a project that has `gonka-node` among its dependencies */
export async function installPackage(folder: string): Promise<string> {
  const source = join(folder, 'source')
  const project = join(folder, 'project')
  await mkdir(source)
  for (const part of parts) await cp(join(root, part), join(source, part), { recursive: true })
  await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  const { stdout } = await run('npm', ['pack', '--json', '--offline'], {
    cwd: source,
    timeout: 60_000,
    env: npmEnvironment(),
  })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string }[]
  const installed = join(project, 'node_modules', 'gonka-node')
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', join(source, packed?.filename ?? ''), '-C', installed, '--strip-components=1'])
  for (const name of await readdir(join(root, 'node_modules')))
    if (!name.startsWith('.')) await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
  return project
}

/** npm run by npm hands settings down that are its own affair. */
function npmEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
  return { ...Object.fromEntries(own), PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env['PATH']}` }
}
