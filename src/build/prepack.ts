// `prepack`: compiles src/ to dist/ and puts the manifest of the published package in the place of ours, for as long as npm packs.
// Node.js refuses .ts files below node_modules; whoever runs from a checkout needs none of this.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Manifest, toPublished } from './published-manifest.ts'

const root = join(import.meta.dirname, '..', '..')
const manifest = join(root, 'package.json')
/** Down to what Node.js 20 understands: the client runs there, the daemon does not. Types are checked by `npm run check`. */
const compilerOptions = {
  noEmit: false,
  noCheck: true,
  declaration: true,
  target: 'es2023',
  rootDir: '../src',
  outDir: '.',
}
const dist = join(root, 'dist')
const kept = join(dist, 'package.json.ours')

// Killed between prepack and postpack, an earlier run left the published one in its place.
if (existsSync(kept)) writeFileSync(manifest, readFileSync(kept))
rmSync(dist, { recursive: true, force: true })
compile()
copyOthers()
const ours = readFileSync(manifest, 'utf8')
writeFileSync(kept, ours)
writeFileSync(manifest, `${JSON.stringify(toPublished(JSON.parse(ours) as Manifest), null, 2)}\n`)

/** A project of its own, because flags beside a project do not change what it includes. */
function compile(): void {
  const inputs = globSync('src/**/*.ts', { cwd: root }).map((path) => join(root, path))
  const project = join(dist, 'tsconfig.json')
  mkdirSync(dist)
  writeFileSync(project, JSON.stringify({ extends: '../tsconfig.json', compilerOptions, files: inputs, include: [] }))
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { stdio: 'inherit' })
  rmSync(project)
}

function copyOthers(): void {
  for (const path of globSync('src/**/*.{proto,html,css,json}', { cwd: root }))
    cpSync(join(root, path), join(root, path.replace(/^src/, 'dist')))
}
