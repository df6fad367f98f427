// `npm run package [FILE]`: one installable tarball: application, production dependencies, Node runtime, units, install.sh.
// Copies what npm installed here and downloads nothing.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { readVersion } from '../core/version.ts'
import { listWords, renderCompletion } from '../cli/completion.ts'
import { readRelease, releaseParts } from './release.ts'

const root = join(import.meta.dirname, '..', '..')

const wrapper = `#!/bin/sh
# Finds its release through the links that point here, and runs it with the Node.js that came with it. Compiled code is kept
# beside the release where we may write there: root must not load what another user could have put into a shared folder.
here=$(dirname "$(readlink -f "$0")")
if [ -w "$here" ]; then NODE_COMPILE_CACHE=$here/../cache
else NODE_COMPILE_CACHE=\${NODE_COMPILE_CACHE:-\${HOME:-/nonexistent}/.cache/gonka-node}
fi
export NODE_COMPILE_CACHE
exec "$here/node" "$here/../src/bin.ts" "$@"
`

const target = resolve(process.argv[2] ?? join(root, `gonka-node-${readVersion()}-linux-x64.tar.gz`))
const stage = mkdtempSync(join(tmpdir(), 'gonka-package-'))
try {
  const name = `gonka-node-${readVersion()}`
  const folder = join(stage, name)
  for (const part of releaseParts) cpSync(join(root, part), join(folder, part), { recursive: true })
  for (const dependency of productionDependencies()) copyDependency(dependency, folder)
  mkdirSync(join(folder, 'bin'), { recursive: true })
  cpSync(process.execPath, join(folder, 'bin', 'node'), { dereference: true })
  writeFileSync(join(folder, 'bin', 'gonka-node'), wrapper)
  chmodSync(join(folder, 'bin', 'gonka-node'), 0o755)
  mkdirSync(join(folder, 'share'))
  const words = await listWords()
  for (const shell of ['bash', 'zsh'] as const)
    writeFileSync(join(folder, 'share', `completion.${shell}`), renderCompletion(words, shell))
  cpSync(join(root, 'systemd', 'install.sh'), join(folder, 'install.sh'))
  writeFileSync(join(folder, 'RELEASE'), `${readRelease(root)}\n`)
  mkdirSync(dirname(target), { recursive: true })
  // Level 6 of gzip: the Node binary is most of it, more effort gains little.
  execFileSync('tar', ['--owner=0', '--group=0', '-czf', target, '-C', stage, name])
  process.stdout.write(`${target}\n`)
} finally {
  rmSync(stage, { recursive: true, force: true })
}

function productionDependencies(): string[] {
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root, encoding: 'utf8' })
  return listed
    .split('\n')
    .filter((path) => path.startsWith(`${root}/node_modules/`))
    .filter((path) => !path.includes('/node_modules/node-linux-'))
}

/** Nested node_modules are listed on their own. */
function copyDependency(path: string, folder: string): void {
  cpSync(path, join(folder, relative(root, path)), {
    recursive: true,
    filter: (from) => from === path || !from.slice(path.length).includes('/node_modules'),
  })
}
