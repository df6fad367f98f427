// `gonka-node config` and `version` for programs: one line of JSON on stdout, nothing on stderr, and the exit status.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { configPlaces } from '../support/config-places.ts'

const root = join(import.meta.dirname, '../..')
const node = 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\nMODEL_NAME=org/model\n'

async function call(args: string[], environment: Record<string, string> = {}) {
  const program = spawn(process.execPath, [join(root, 'src/bin.ts'), ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err]: [string[], string[]] = [[], []]
  program.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()))
  program.stderr.on('data', (chunk: Buffer) => err.push(chunk.toString()))
  const code = await new Promise((resolve) => program.once('close', resolve))
  return { code, out: out.join(''), err: err.join('') }
}

/** @returns what its one line says */
async function json(args: string[], environment?: Record<string, string>) {
  const { code, out, err } = await call([...args, '--json'], environment)
  expect([err, out.split('\n').length, out.at(-1)]).toEqual(['', 2, '\n'])
  return { code, said: JSON.parse(out) as Record<string, unknown> }
}

test('version tells that of the package and that of Node.js', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  expect(await json(['version'])).toEqual({ code: 0, said: { version, node: process.versions.node } })
})

const files: {
  name: string
  text: string | Buffer | undefined
  kind: string
  problems?: RegExp[]
  warnings?: RegExp[]
}[] = [
  { name: 'good', text: node, kind: 'ok' },
  {
    name: 'good with a warning',
    text: `${node}MODEL_NAM=x\n`,
    kind: 'ok',
    warnings: [/^MODEL_NAM \(\/.*container\.env:4\): is unknown .* MODEL_NAME$/],
  },
  {
    name: 'wrong',
    text: `${node}PORT=many\nNODE_PORT=0\n`,
    kind: 'bad',
    problems: [/^NODE_PORT \(.*:5\): .*; write /, /^PORT \(.*:4\): .*; write /],
  },
  {
    name: 'binary',
    text: Buffer.from([1, 0, 2]),
    kind: 'bad',
    problems: [/^\/.*container\.env: is binary .*; save it as UTF-8 text$/],
  },
  { name: 'empty', text: '', kind: 'missing' },
  { name: 'not there', text: undefined, kind: 'missing' },
]

test.each(files)('config check of a file that is $name', async ({ text, kind, problems = [], warnings = [] }) => {
  const { file } = await configPlaces(text)
  const told = (all: RegExp[]) => all.map((one) => expect.stringMatching(one) as string)
  expect(await json(['config', 'check', file])).toEqual({
    code: kind === 'ok' ? 0 : 78,
    said: { kind, file, problems: told(problems), warnings: told(warnings) },
  })
})

test('without --json the same is told to a person, on stderr where it is wrong', async () => {
  const [wrong, missing] = [await configPlaces(`${node}PORT=many\n`), await configPlaces(undefined)]
  const [told, gone] = await Promise.all([wrong, missing].map(({ file }) => call(['config', 'check', file])))
  expect(told).toMatchObject({
    code: 78,
    out: '',
    err: expect.stringMatching(/^error: PORT \(.*:4\): .*; write .*\n$/),
  })
  expect(gone).toEqual({ code: 78, out: '', err: `error: ${missing.file}: is missing or empty; write it\n` })
})

test('config tells every value with its origin and meaning, and no secret, also where it is wrong', async () => {
  const places = await configPlaces(`${node}SECRET_FRP_TOKEN=hush-hush\nPORT=many\n`, {
    dropIns: { '10.env': 'MAX_CONCURRENT=7\n' },
  })
  const environment = { GONKA_ENV_FILE: places.file, STATE_DIRECTORY: places.stateDir, ORDER_GRACE: '5s' }
  const { code, said } = await json(['config'], environment)
  expect(code).toBe(78)
  expect(said).toMatchObject({
    kind: 'bad',
    problems: [expect.stringMatching(/^PORT \(.*:5\): .*; write /)],
    warnings: [],
  })
  const values = said['values'] as { name: string; doc: string }[]
  const of = (name: string) => values.find((one) => one.name === name)
  expect(of('CLIENT_ID')).toMatchObject({
    part: 'registration',
    value: '0042',
    origin: { kind: 'file', path: places.file, line: 2 },
  })
  expect(of('MAX_CONCURRENT')).toMatchObject({ value: '7', origin: { path: join(places.folder, '10.env'), line: 1 } })
  expect(of('ORDER_GRACE')).toMatchObject({ value: '5s', origin: { kind: 'environment' } })
  expect(of('NODE_PORT')).toMatchObject({ value: '8080', origin: { kind: 'default' }, secret: false })
  expect(of('SECRET_FRP_TOKEN')).toMatchObject({ value: '[redacted]', secret: true })
  expect(values.filter(({ doc }) => doc === '')).toEqual([])
  expect(JSON.stringify(said)).not.toContain('hush')
})
