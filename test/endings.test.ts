// Why a run of the daemon ends, as far as it decides that itself.
import { spawn } from 'node:child_process'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import type { Ending } from '../src/endings.ts'
import { askOnce } from '../src/host/prepared.ts'
import { configPlaces } from './support/config-places.ts'
import { eventually } from './support/eventually.ts'
import { tempDir } from './support/temp-dir.ts'

const program = join(import.meta.dirname, 'support/ending-program.ts')
const good = 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\nMODEL_NAME=org/model\n'

type Said = 'runs' | { shown?: string[]; errors?: string[]; ended?: Ending }

async function running(under: 'systemd' | 'nobody', spoil: (file: string) => Promise<void> = async () => {}) {
  const runDir = join(await tempDir(), 'run')
  await mkdir(runDir)
  await chmod(dirname(runDir), 0o755)
  await chmod(runDir, 0o777)
  const places = await configPlaces(good, { environment: { RUNTIME_DIRECTORY: runDir } })
  await chmod(dirname(places.file), 0o755)
  await spoil(places.file)
  const child = spawn(process.execPath, [program, JSON.stringify(places), under], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const said: Said[] = []
  createInterface(child.stdout).on('line', (line) => said.push(JSON.parse(line) as Said))
  await eventually('it runs', () => said.length > 0)
  return {
    /** As user-data does: beside it, then renamed. */
    async write(text: string | Uint8Array, mode = 0o644) {
      await writeFile(`${places.file}.new`, text)
      await chmod(`${places.file}.new`, mode)
      await rename(`${places.file}.new`, places.file)
    },
    file: places.file,
    runDir,
    ask: (what: 'hup' | 'helper' | 'errors') => void child.stdin.write(`${what}\n`),
    /** What it said after the first so many. */
    next: async (after: number) => {
      const one = await eventually(`more than ${after} answers`, () => said[after])
      return one === 'runs' ? {} : one
    },
  }
}

const forRootAlone = (file: string) => chmod(file, 0)
const byHelper = { intent: 'restart', again: true, why: expect.stringContaining('gonka-node prepare') as string }

test('under systemd a file that only root may read starts us again, since the privileged step opens it', async () => {
  const run = await running('systemd')
  await run.write(`${good}MAX_CONCURRENT=7\n`, 0)
  expect(await run.next(1)).toEqual({ ended: byHelper })
  const kept = await readFile(join(run.runDir, 'asked-open.json'), 'utf8')
  const { fingerprint } = JSON.parse(kept) as { fingerprint: string }
  // The next daemon, where the step could not open it, does not ask a second time; nor does one that nobody would remember.
  expect(await askOnce(run.runDir, 'open', fingerprint)).toBe(false)
  expect(await askOnce(run.file, 'open', 'another')).toBe(false)
})

test('a first env file that is awaited is no error, however often we are asked; one that is deleted is', async () => {
  const waiting = await running('systemd', (file) => rm(file))
  waiting.ask('hup')
  expect(await waiting.next(1)).toEqual({ shown: ['missing'] })
  waiting.ask('errors')
  expect(await waiting.next(2)).toEqual({ errors: [] })
  const run = await running('systemd')
  await rm(run.file)
  expect(await run.next(1)).toEqual({ shown: ['missing'] })
  run.ask('errors')
  expect(await run.next(2)).toEqual({ errors: ['changed configuration is bad: running on as before'] })
})

test('one that the privileged step could not open is no reason to start again; one that is written anew is, once more', async () => {
  const run = await running('systemd', forRootAlone)
  run.ask('hup')
  expect(await run.next(1)).toEqual({ shown: ['config-forbidden'] })
  run.ask('hup')
  expect(await run.next(2)).toEqual({ shown: ['config-forbidden'] })
  await run.write(`${good}MAX_CONCURRENT=7\n`, 0)
  expect(await run.next(3)).toEqual({ ended: byHelper })
})

test.each([
  ['binary', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0])],
  ['too large', Buffer.alloc(2 << 20, '#\n')],
])('a file that is %s is shown, and starts nobody: the privileged step cannot mend it', async (_, bytes) => {
  const run = await running('systemd')
  await run.write(bytes)
  expect(await run.next(1)).toEqual({ shown: ['config-unreadable'] })
  await run.write(good)
  expect(await run.next(2)).toEqual({ shown: [] })
  await run.write(`${good}MAX_CONCURRENT=7\n`)
  expect(await run.next(3)).toMatchObject({ ended: { intent: 'restart', why: 'the configuration changed' } })
})

test('a file that is deleted is shown, ends nothing, and is fine again when it is back', async () => {
  const run = await running('systemd')
  await rm(run.file)
  expect(await run.next(1)).toEqual({ shown: ['missing'] })
  await run.write(good)
  expect(await run.next(2)).toEqual({ shown: [] })
})

test('without systemd nobody would open the file, or mount the volume: it is shown, and we run on', async () => {
  const run = await running('nobody')
  run.ask('helper')
  await run.write(`${good}MAX_CONCURRENT=7\n`, 0)
  expect(await run.next(1)).toEqual({ shown: ['config-forbidden'] })
})

test('under systemd a volume that appeared starts us again, so that the privileged step mounts it', async () => {
  const run = await running('systemd')
  run.ask('helper')
  expect(await run.next(1)).toEqual({ ended: byHelper })
})
