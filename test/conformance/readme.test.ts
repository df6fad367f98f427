// README, section "Launching models": its commands and programs do what they say, as they stand, but for the port.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'
import { describeWith } from '../support/real.ts'
import { providePythonClient } from './python-client.ts'

const root = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)
const readme = await readFile(join(root, 'README.md'), 'utf8')
const section = readme.slice(
  readme.indexOf('\n## Launching models'),
  readme.indexOf('\n## ', readme.indexOf('\n## Launching models') + 1),
)

/** The blocks of that language, in order. */
const blocksOf = (language: string) =>
  [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(([, text = '']) => text)

/** The rehearsal that README starts: `--gpus 4 --set NODE_GPUS=0`. */
async function startReadme(lastsUntil: (end: () => Promise<void>) => void) {
  expect(blocksOf('sh')[0]).toBe('npm start -- --gpus 4 --set NODE_GPUS=0\n')
  const world = await startWorld({ gpus: 4, set: { NODE_GPUS: '0', REHEARSAL_TOKEN_MS: '3' }, lastsUntil })
  await eventually('the launch service answers', async () => (await fetch(`${world.control}/launch`)).ok, 60_000, 50)
  const folder = await mkdtemp(join(tmpdir(), 'gonka-readme-'))
  const fit = (text: string) =>
    text.replaceAll('http://127.0.0.1:8000', world.control).replaceAll('/tmp/launch.json', join(folder, 'launch.json'))
  await mkdir(join(folder, 'bin'))
  const wrapper = `#!/bin/sh\nexec ${process.execPath} ${join(root, 'src/bin.ts')} "$@"\n`
  await writeFile(join(folder, 'bin', 'gonka-node'), wrapper, { mode: 0o755 })
  await mkdir(join(folder, 'node_modules'))
  await symlink(root, join(folder, 'node_modules', 'gonka-node'))
  const env = {
    PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
    GONKA_SOCKET: world.machine.socket,
    HOME: folder,
  }
  const sh = async (text: string) => (await run('bash', ['-ec', fit(text)], { env, timeout: 240_000 })).stdout
  return { folder, fit, env, sh }
}

const shared: { readme?: Awaited<ReturnType<typeof startReadme>>; end?: () => Promise<void> } = {}

function readmeOf() {
  if (!shared.readme) throw new Error('the rehearsal did not start')
  return shared.readme
}

beforeAll(async () => {
  shared.readme = await startReadme((end) => (shared.end = end))
})

afterAll(async () => {
  await shared.end?.()
  if (shared.readme) await rm(shared.readme.folder, { recursive: true, force: true })
}, 60_000)

test(
  'its commands, with curl and the command line, and its program run as they stand',
  { timeout: 300_000 },
  async () => {
    const { folder, fit, env, sh } = readmeOf()
    const [, curl = '', cli = ''] = blocksOf('sh')
    const told = await sh(curl)
    expect(told).toMatch(/"gpu_ids":\[1\][^]*"state":"ready"[^]*"completion_tokens":5[^]*"state":"stopped"/)
    const said = await sh(cli)
    expect(said).toMatch(
      /^[0-9a-f-]{36}\n[^]*\(node\)[^]*second +rehearsal\/tiny-1b +generate +2 +ready[^]*is stopped\nload /,
    )
    const [program = ''] = blocksOf('js')
    await writeFile(join(folder, 'program.mjs'), fit(program))
    const { stdout } = await run(process.execPath, [join(folder, 'program.mjs')], { env, timeout: 120_000 })
    expect(stdout).toMatch(/^\S.* \d+ 8\n\S/)
    expect(await sh('gonka-node launches --json')).not.toContain('"gpu_ids":[2]')
  },
)

describeWith('its Python program', await providePythonClient(), (python) => {
  test('runs as it stands', { timeout: 300_000 }, async () => {
    const { fit, env, folder } = readmeOf()
    const [program = ''] = blocksOf('python')
    await writeFile(join(folder, 'program.py'), fit(program))
    const { stdout } = await run(python, [join(folder, 'program.py')], { env, timeout: 120_000 })
    expect(stdout).toMatch(/^\S.* \d+ 8\n$/)
  })
})
