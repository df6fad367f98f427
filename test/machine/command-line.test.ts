// The command line against a daemon that really runs, and against none.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startWorld } from './world.ts'
import { call, start } from './command.ts'

test(
  'a node that works answers every verb in words and, where it prints facts, in JSON',
  { timeout: 180_000 },
  async () => {
    const world = await startWorld({ gpus: 1, scale: 0.05 })
    await world.untilRegistered()
    await world.untilPart('poc', 'is settled', ({ health }) => health === 'ok')
    const words = async (...args: string[]) => {
      const found = await call(world, ...args)
      expect({ args, err: found.err, code: found.code }).toEqual({ args, err: '', code: 0 })
      // Colours are for a terminal only.
      expect(found.out).not.toContain('\u001B')
      return found.out
    }
    const json = async (...args: string[]) => JSON.parse(await words(...args, '--json')) as unknown

    expect(await words('status')).toMatch(/^● gonka-node [\d.]+: ok, /)
    expect(await json('status')).toMatchObject({ health: 'ok', pid: world.daemon().pid() })
    expect(await words('engines')).toMatch(/^0 +serving .*rehearsal\/tiny-1b/m)
    expect(await json('engines')).toMatchObject([{ slot: 0, phase: 'serving' }])
    expect(await words('tunnels')).toMatch(/10042|20042/)
    expect(await json('tunnels')).toHaveLength(1)
    expect(await words('api-nodes')).toMatch(/registered/)
    expect(await json('api-nodes')).toMatchObject([{ phase: 'registered' }])
    expect(await words('poc')).toMatch(/^ok: no round/)
    expect(await words('poc', 'stop')).toMatch(/^ok: /)
    expect(await words('logs', '--lines', '5')).toMatch(/\n/)
    const quoted = (await words('logs', '--lines', '3', '--json')).trim().split('\n')
    expect(quoted.map((line) => typeof JSON.parse(line))).toEqual(['string', 'string', 'string'])
    expect(await json('poc')).toMatchObject({ part: { health: 'ok' } })
    expect(await words('logs', '--list')).toMatch(/engine-0-.*\.log/)
    expect(await words('version')).toMatch(/^gonka-node \d+\.\d+\.\d+/)
    expect(await words('completion', 'bash')).toContain('complete')
    const config = await words('config')
    expect(config).toMatch(/CLIENT_ID.*0042/)
    const secret = /^SECRET_FRP_TOKEN=(\S+)$/m.exec(await world.readEnv())?.[1]
    expect(secret).toBeDefined()
    expect(config).not.toContain(secret)
    expect(JSON.stringify(await json('config'))).not.toContain(secret)

    expect(await words('leave')).toMatch(/0042/)
    const record = world.apiNode.world.nodes.get('0042')
    expect(record?.state.admin_state.enabled ?? false).toBe(false)
  },
)

test('status --watch follows the changes of the node, one line each with --json, and ends with the daemon', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilPart('config', 'is there', () => true)
  const watching = start(world, ['status', '--watch', '--json'])
  const seen: string[] = []
  createInterface({ input: watching.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    seen.push((JSON.parse(line) as { health: string }).health)
  })
  const closed = new Promise((resolve) => watching.once('close', resolve))
  await world.untilRegistered()
  await eventually('it turned ok', () => seen.at(-1) === 'ok')
  expect(seen[0]).toBe('starting')
  await world.kill('SIGTERM')
  await closed
})

test('logs are read and followed while the daemon is down', async () => {
  const world = await startWorld({ gpus: 1 })
  await world.untilRegistered()
  await world.kill('SIGKILL')
  const following = start(world, ['logs', '--follow'])
  const seen: string[] = []
  createInterface({ input: following.stdout as NodeJS.ReadableStream }).on('line', (line) => seen.push(line))
  await eventually('the last lines', () => seen.length > 0)
  const before = seen.length
  const port = (await world.processes()).map(({ argv }) => /--port (\d+)/.exec(argv)?.[1]).find(Boolean)
  await fetch(`http://127.0.0.1:${port}/v1/models`)
  await eventually('a new line of the engine that lives on', () => seen.length > before)
  expect((await call(world, 'logs', '7')).code).toBe(1)
})

test('exit statuses: 1 unhealthy or refused, 2 wrong usage, 69 no daemon, 78 wrong configuration', async () => {
  const world = await startWorld({ gpus: 1, set: { REHEARSAL_CRASH: 'oom-warmup' } })
  await world.untilPart('fleet', 'has a problem', ({ problem }) => problem !== undefined)
  const sick = await call(world, 'status')
  expect(sick.code).toBe(1)
  expect(sick.out).toMatch(/! .*\[.*\]\n +seen: .*\n +do: /)
  const engines = await call(world, 'engines')
  expect([engines.code, engines.out]).toEqual([1, expect.stringMatching(/^engine 0: .*\n +seen: .*\n +do: /m)])

  for (const args of [
    ['nonsense'],
    ['status', '--nonsense'],
    ['status', 'word'],
    ['poc', 'start'],
    ['logs', '--lines', 'x'],
  ]) {
    const found = await call(world, ...args)
    expect({ args, code: found.code, out: found.out }).toEqual({ args, code: 2, out: '' })
    expect(found.err).toMatch(/^gonka-node/)
  }
  const file = join(world.machine.folder, 'try.env')
  await writeFile(file, await world.readEnv())
  expect(await call(world, 'config', 'check', file)).toMatchObject({ code: 0, err: '' })
  await writeFile(file, 'CLIENT_ID=0000\nMODEL_NAM=x\n')
  const checked = await call(world, 'config', 'check', file)
  expect(checked.code).toBe(78)
  expect(checked.err).toMatch(/CLIENT_ID .*try\.env:1\)[\s\S]*MODEL_NAME/)

  await world.kill('SIGTERM')
  for (const args of [['status'], ['engines'], ['poc'], ['tunnels'], ['api-nodes'], ['leave'], ['status', '--watch']]) {
    const found = await call(world, ...args)
    expect({ args, code: found.code, out: found.out }).toEqual({ args, code: 69, out: '' })
    expect(found.err).toMatch(/the daemon does not answer on .*control\.sock: .*\n +is it running\?/)
  }
})
