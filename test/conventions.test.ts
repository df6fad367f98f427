// The rules of the house as tests: import law, file size, no left-over markers.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const ranks: Record<string, number> = {
  api: 0,
  core: 1,
  config: 2,
  host: 2,
  gpu: 2,
  models: 2,
  'frp-config': 2,
  engine: 3,
  fleet: 4,
  http: 5,
  proxy: 5,
  poc: 5,
  tunnel: 5,
  'api-nodes': 5,
  telemetry: 5,
  mlnode: 6,
  control: 6,
  grpc: 6,
  cli: 6,
  dashboard: 6,
  doctor: 6,
  client: 6,
  rehearsal: 6,
  build: 7,
  kubernetes: 7,
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (name === 'node_modules' || name.startsWith('.')) return []
    return statSync(path).isDirectory() ? filesBelow(path) : path.endsWith('.ts') ? [path] : []
  })
}

const sources = filesBelow(join(root, 'src')).map((path) => ({
  path: relative(root, path),
  text: readFileSync(path, 'utf8'),
}))
const tests = filesBelow(join(root, 'test')).map((path) => ({
  path: relative(root, path),
  text: readFileSync(path, 'utf8'),
}))

test('every file has at most 300 lines', () => {
  const long = [...sources, ...tests].filter(({ text }) => text.split('\n').length > 301).map(({ path }) => path)
  expect(long).toEqual([])
})

test('imports go down the ranks; neighbours are left alone except where the design names them', () => {
  const broken = sources.flatMap(({ path, text }) => {
    const from = path.split('/')[1] ?? ''
    if (ranks[from] === undefined) return []
    return [...text.matchAll(/(?:from|import\()\s*'((?:\.\.\/)+)([a-z-]+)\/[^']+'/g)]
      .map((found) => found[2] ?? '')
      .filter((to) => to !== from && !mayImport(from, to))
      .map((to) => `${path} imports ${to}/`)
  })
  expect(broken).toEqual([])
})

function mayImport(from: string, to: string): boolean {
  // Published for programs elsewhere, which have no daemon.
  if (from === 'client') return to === 'api'
  const [high, low] = [ranks[from], ranks[to]]
  if (high === undefined || low === undefined) return false
  // `proxy` and the surfaces use `http`; `cli` uses `client`, and starts the rehearsal.
  return (
    low < high || (from === 'proxy' && to === 'http') || (from === 'cli' && (to === 'client' || to === 'rehearsal'))
  )
}

test('no left-over markers, module mocks, default exports, enums or module-level let', () => {
  const markers = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].map((word) => `\\b${word}\\b`).join('|'))
  const broken = [...sources, ...tests].flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, at) => {
      const bad =
        markers.test(line) ||
        /\bvi\.(do)?mock\(/i.test(line) ||
        /^(export )?(let|var|enum) /.test(line) ||
        (line.startsWith('export default') && !path.endsWith('.config.ts'))
      return bad && !path.endsWith('conventions.test.ts') ? [`${path}:${at + 1}: ${line.trim()}`] : []
    }),
  )
  expect(broken).toEqual([])
})

test('process.env is read in config, in the program edges and in rehearsal programs alone', () => {
  const allowed = /^src\/(config|rehearsal|cli)\/|^src\/(bin|main|daemon)\.ts$|^src\/host\/systemd/
  expect(
    sources.filter(({ path, text }) => !allowed.test(path) && /process\.env\b/.test(text)).map(({ path }) => path),
  ).toEqual([])
})
