// README is true: its generated parts are those of the sources, and every code and verb is in it, none dead.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { problemTables } from '../src/build/problem-tables.ts'
import { readBlock, referenceBlocks } from '../src/build/reference.ts'
import { verbs } from '../src/cli/verbs.ts'
import { renderExample } from '../src/config/reference.ts'
import { signatures } from '../src/engine/signatures.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
const sources = globSync('src/**/*.ts', { cwd: root }).map((path) => ({ path, text: read(path) }))
const codes = Object.values(problemTables).flatMap(({ problems }) => Object.keys(problems))
const hint = 'run `npm run reference`'

test('the generated parts of README are what the sources make', async () => {
  for (const [name, block] of Object.entries(await referenceBlocks()))
    expect(readBlock(readme, name), `README, block ${name}: ${hint}`).toBe(block)
})

test('the example env file is what the schema makes', () => {
  expect(read('systemd/gonka-container.env.example'), `${hint}`).toBe(renderExample())
})

test('README has the commands that a newcomer types', () => {
  expect(readme).toContain('npm ci && npm start')
  expect(readme).toContain('npm ci && npm test')
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = [...readme.matchAll(/npm run (?:-s )?([a-z:]+)/g)].map((found) => found[1] ?? '')
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
})

test('every part with problems has its table in README, and no code is in two of them', () => {
  const folders = sources.flatMap(({ path }) => /^src\/([a-z-]+)\/problems\.ts$/.exec(path)?.[1] ?? [])
  expect(Object.keys(problemTables).toSorted()).toEqual(folders.toSorted())
  expect(codes.filter((code, at) => codes.indexOf(code) !== at)).toEqual([])
})

test('no problem code is dead', () => {
  const diagnosed = new Set<string>(signatures.map(({ code }) => code))
  // Of a table, what follows it may use its codes; a row is no use.
  const others = sources.map(({ path, text }) =>
    path.endsWith('/problems.ts') ? text.replaceAll(/^ {2}'[a-z0-9-]+': \{/gm, '') : text,
  )
  // Made from how an API node failed: unreachable, silent, garbage.
  const made = new Set(['api-node-silent', 'api-node-garbage', 'api-node-unreachable'])
  expect(others.some((text) => text.includes('`api-node-${answer.how}`'))).toBe(true)
  const isUsed = (code: string) =>
    diagnosed.has(code) || made.has(code) || others.some((text) => text.includes(`'${code}'`))
  expect(codes.filter((code) => !isUsed(code))).toEqual([])
})

test('every problem that is built has a code of a table', () => {
  const built = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/code: '([a-z][a-z0-9-]+)',\s*(?:title|evidence)\b/g)].map((found) => `${path}: ${found[1]}`),
  )
  expect(built.filter((one) => !codes.includes(one.split(': ')[1] ?? ''))).toEqual([])
})

test('every refusal is in README with its status, and README names no dead one', () => {
  const thrown = new Set(
    sources.flatMap(({ text }) =>
      [...text.matchAll(/new Refusal\(\s*'([a-z-]+)',\s*(\d+)/g)].map(([, code, status]) => `${code} ${status}`),
    ),
  )
  const section = readme.slice(readme.indexOf('\n## Refusals'), readme.indexOf('\n## Working on it'))
  const listed = [...section.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \|/gm)].map(([, code, status]) => `${code} ${status}`)
  // What the command line makes of an answer that it does not understand.
  expect(listed.toSorted()).toEqual([...thrown, 'unknown as answered'].toSorted())
})

test('every verb of the troubleshooting and of the tables exists', () => {
  const named = [...readme.matchAll(/(?:^\$ |`)gonka-node ([a-z-]+)/gm)].map((found) => found[1] ?? '')
  expect(named.filter((name) => name !== 'help' && !Object.hasOwn(verbs, name))).toEqual([])
})

test('the map of the sources has every folder', () => {
  const folders = new Set(sources.flatMap(({ path }) => /^src\/([a-z-]+)\//.exec(path)?.[1] ?? []))
  const map = read('src/README.md')
  expect([...folders].filter((folder) => !map.includes(`**${folder}/**`))).toEqual([])
})
