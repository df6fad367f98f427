import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { adoptBody, type Body, type BodyPlan, launchBody } from '../../src/core/body.ts'
import { findProcesses } from '../../src/core/body-processes.ts'
import { readRecord, writeRecord } from '../../src/core/body-record.ts'
import { silentLog } from '../../src/core/log.ts'
import { readProcStat } from '../../src/core/proc.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

const deps = { log: silentLog }
const withoutCgroup = { log: silentLog, cgroupParent: '' }
const gently = { signal: 'SIGTERM', patience: 3000 } as const

async function plan(script: string, env: Record<string, string> = {}): Promise<BodyPlan> {
  const id = `test-${Math.random().toString(36).slice(2, 10)}`
  const folder = join(await tempDir(), id)
  return {
    id,
    folder,
    command: '/bin/sh',
    args: ['-c', script],
    env: { PATH: '/usr/bin:/bin', ...env },
    origin: 'http://127.0.0.1:1',
    meta: { slot: 1 },
  }
}

async function launch(script: string, how: typeof deps = deps): Promise<Body> {
  const body = await launchBody(await plan(script, { PLANNED: 'yes' }), how)
  onTestFinished(() => body.end({ signal: 'SIGTERM', patience: 0 }))
  return body
}

const alive = (pid: number): boolean => readProcStat(pid) !== undefined
const words = async (body: Body): Promise<string[]> =>
  (await readFile(body.logPath, 'utf8')).split(/\s+/).filter(Boolean)

test('its exit status arrives, whatever it is', async () => {
  const codes = await Promise.all(
    ['exit 0', 'exit 3', 'kill -9 $$', 'kill -TERM $$'].map(async (script) => (await launch(script)).exited),
  )
  expect(codes).toEqual([0, 3, 137, 143])
})

test('a daemon that has no descriptor left takes no living engine for dead', async () => {
  const core = join(import.meta.dirname, '../../src/core')
  const program = `
    import { closeSync, openSync } from 'node:fs'
    import { launchBody } from ${JSON.stringify(join(core, 'body.ts'))}
    import { silentLog } from ${JSON.stringify(join(core, 'log.ts'))}
    const body = await launchBody(${JSON.stringify(await plan('sleep 60'))}, { log: silentLog, cgroupParent: '' })
    const fds = []
    try { for (;;) fds.push(openSync('/dev/null')) } catch {}
    const first = await Promise.race([
      body.exited.then(() => 'exited'),
      new Promise((resolve) => setTimeout(resolve, 2500, 'lives')),
    ])
    for (const fd of fds) closeSync(fd)
    await body.end({ signal: 'SIGTERM', patience: 1000 })
    console.log(first)`
  const child = spawn('/bin/sh', [
    '-c',
    'ulimit -n 200; exec "$@"',
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    program,
  ])
  const said: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => said.push(part))
  await once(child, 'close')
  expect(Buffer.concat(said).toString()).toBe('lives\n')
})

test('a program that is not there is an exit, with the reason in the log', async () => {
  const body = await launchBody({ ...(await plan('')), command: '/nowhere/python' }, deps)
  expect(await body.exited).toBe(127)
  expect(await readFile(body.logPath, 'utf8')).toMatch(/nowhere.*not found/)
  await body.end(gently)
})

test('it gets the planned environment alone, nothing on stdin, and as many descriptors as allowed', async () => {
  process.env['GONKA_TEST_LEAK'] = 'leaked'
  const body = await launch('env; readlink /proc/self/fd/0; echo limit=$(ulimit -n)=$(ulimit -Hn)')
  await body.exited
  const log = await readFile(body.logPath, 'utf8')
  expect(log).toContain('PLANNED=yes')
  expect(log).not.toContain('GONKA_TEST_LEAK')
  expect(log).toContain('/dev/null')
  expect(log).toMatch(/limit=(\w+)=\1/)
})

for (const [kind, how] of [
  ['with a cgroup of its own where there is one', deps],
  ['by session and marker', withoutCgroup],
] as const) {
  test(`end leaves no process, deaf ones and those that left the session included, ${kind}`, async () => {
    const body = await launch(
      `trap '' INT TERM; (trap '' TERM; sleep 1000) & setsid sleep 1000 & echo $$ $!; wait`,
      how,
    )
    await eventually('it runs', async () => (await words(body)).length === 2 && (await body.pids()).length >= 4)
    const pids = await body.pids()
    await body.end({ signal: 'SIGTERM', patience: 200 })
    expect(pids.filter(alive)).toEqual([])
    expect(body.record.cgroup !== undefined && existsSync(body.record.cgroup)).toBe(false)
  })

  test(`orphans of a killed leader are found by the next daemon and ended, ${kind}`, async () => {
    const body = await launch(`setsid sleep 1000 & sleep 1000 & echo $!; kill -9 $$`, how)
    expect(await body.exited).toBe(137)
    const adopted = await adoptBody(body.record.folder, how)
    expect(await adopted?.exited).toBe(137)
    // Its keeper has written the status, and may still be on its way out.
    const orphans = await eventually('two orphans', async () => {
      const found = (await adopted?.pids()) ?? []
      return found.length === 2 ? found : undefined
    })
    await adopted?.end(gently)
    expect(orphans.filter(alive)).toEqual([])
    expect(await adoptBody(body.record.folder, how)).toBeUndefined()
  })
}

test('an adopted life ends as a launched one does', async () => {
  const body = await launch(`trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done`)
  await eventually('it runs', async () => (await words(body)).includes('up'))
  const adopted = await adoptBody(body.record.folder, deps)
  expect(adopted).toMatchObject({ id: body.id, origin: body.origin, adopted: true })
  expect(adopted?.record).toEqual(body.record)
  await adopted?.end(gently)
  expect(await adopted?.exited).toBe(7)
  expect(await body.exited).toBe(7)
})

test('a crash between record and spawn: the keeper is found by its marker', async () => {
  const body = await launch('sleep 1000')
  const { pid: _pid, startTime: _startTime, ...bare } = body.record
  await writeRecord(bare)
  const adopted = await adoptBody(bare.folder, deps)
  expect(adopted?.record.pid).toBe(body.record.pid)
  expect(await readRecord(bare.folder)).toMatchObject({ value: { pid: body.record.pid } })
  await adopted?.end(gently)
  await body.exited
})

test('a record that cannot be read still leads to the processes', async () => {
  const body = await launch('sleep 1000')
  await rm(join(body.record.folder, 'record.json'))
  const adopted = await adoptBody(body.record.folder, deps)
  expect(adopted?.record.pid).toBe(body.record.pid)
  await adopted?.end(gently)
  await body.exited
})

test('nothing is adopted from an empty folder, and a recycled pid or another boot is never ours', async () => {
  const innocent = await launch('sleep 1000')
  const own = innocent.record
  const folder = join(await tempDir(), 'test-dead')
  await mkdir(folder)
  expect(await adoptBody(folder, deps)).toBeUndefined()
  const { cgroup: _cgroup, ...stolen } = { ...own, folder, id: 'test-dead' }
  await writeRecord({ ...stolen, startTime: '1' })
  expect(await adoptBody(folder, deps)).toBeUndefined()
  await writeRecord({ ...stolen, bootId: 'another' })
  expect(await adoptBody(folder, deps)).toBeUndefined()
  expect(await findProcesses(own)).not.toEqual([])
})

test('twenty lives in a row start and end, and none leaves a process', async () => {
  for (let round = 0; round < 20; round += 1) {
    const body = await launch('sleep 1000 & wait')
    await body.end(gently)
    expect(await body.pids()).toEqual([])
  }
})

test('a kill of everything at once is seen without an exit file', async () => {
  const body = await launch('sleep 1000')
  body.signal('SIGKILL')
  expect(await body.exited).toBeUndefined()
})
