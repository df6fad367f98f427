// State and log disks that are full or read-only: the node earns all the same, and says what is lost.
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { PartStatus } from '../../src/api/status.ts'
import { eventually } from '../support/eventually.ts'
import { whenPid } from './asks.ts'
import { startWorld, type World } from './world.ts'

const isRoot = process.getuid?.() === 0

/** A disk of 1 MiB in the place of the folder. */
function mount(world: World, name: 'state' | 'log', options: string): string {
  const path = join(world.machine.folder, name)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=1m,${options}`, 'tmpfs', path])
  onTestFinished(() => void execFileSync('umount', ['-l', path]))
  return path
}

function fill(path: string): void {
  const file = openSync(join(path, 'filler'), 'a')
  const block = Buffer.alloc(4096)
  try {
    for (;;) writeSync(file, block)
  } catch {
    closeSync(file)
  }
}

const lives = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : [])

const problemsOf = (parts: readonly PartStatus[]): string[] =>
  parts.flatMap(({ problem, parts: inner }) => [...(problem ? [problem.code] : []), ...problemsOf(inner ?? [])])

// Mounting one needs root.
describe.skipIf(!isRoot)('a bad disk (as root)', () => {
  test.each(['full', 'read-only'])(
    'a state disk that is %s at boot costs no engine and no registration, and the state moves back once it is well',
    async (how) => {
      const world = await startWorld({ gpus: 1, start: false })
      const path = mount(world, 'state', how === 'full' ? 'mode=750' : 'ro')
      if (how === 'full') fill(path)
      world.start()
      await world.untilRegistered()
      const { health, parts } = await world.status()
      expect(health).toBe('degraded')
      expect(problemsOf(parts)).toContain('state-unwritable')
      const [before] = await world.engines()
      await world.kill('SIGKILL')
      world.start()
      await world.untilRegistered()
      expect((await world.engines()).map(({ pid }) => pid)).toEqual([before?.pid])
      if (how === 'full') rmSync(join(path, 'filler'))
      else execFileSync('mount', ['-o', 'remount,rw', path])
      await world.untilPart('identity', 'has its state back', (one) => one.health === 'ok', 45_000)
      await world.untilRegistered()
      expect((await world.engines()).map(({ pid }) => pid)).toEqual([before?.pid])
      expect(existsSync(join(path, 'identity.json'))).toBe(true)
      expect(await world.kill('SIGTERM')).toBe(0)
      await world.untilNoProcess()
    },
  )

  test('a state disk that fills up under an earning node costs no engine, not even across a crash of the daemon', async () => {
    const world = await startWorld({ gpus: 1, start: false })
    const path = mount(world, 'state', 'mode=750')
    world.start()
    await world.untilRegistered()
    const [before] = await world.engines()
    fill(path)
    await world.kill('SIGKILL')
    world.start()
    await world.untilRegistered()
    expect((await world.engines()).map(({ pid }) => pid)).toEqual([before?.pid])
    expect((await world.status()).health).toBe('degraded')
    // Room again: what was kept meanwhile is found, and nothing is launched twice.
    rmSync(join(path, 'filler'))
    await world.kill('SIGKILL')
    world.start()
    await world.untilRegistered()
    expect((await world.engines()).map(({ pid }) => pid)).toEqual([before?.pid])
    expect(problemsOf((await world.status()).parts)).not.toContain('state-unwritable')
    expect(await world.kill('SIGTERM')).toBe(0)
    await world.untilNoProcess()
  })

  test('an engine that dies on a full state disk is launched again at once, adopted by the next daemon, and the disk is named', async () => {
    const world = await startWorld({ gpus: 1, start: false })
    const path = mount(world, 'state', 'mode=750')
    world.start()
    await world.untilRegistered()
    const first = await whenPid(world)
    // Whoever fills it takes what becomes free at once.
    const filling = setInterval(() => fill(path), 5)
    onTestFinished(() => clearInterval(filling))
    process.kill(first, 'SIGKILL')
    await eventually('another life serves', async () => {
      const [engine] = await world.engines()
      return engine?.phase === 'serving' && engine.pid !== first
    })
    const part = await world.untilProblem('fleet', 'state-not-writable')
    expect(part.problem?.evidence).toContain(path)
    const second = await whenPid(world)
    await world.kill('SIGKILL')
    world.start()
    await world.untilRegistered()
    expect((await world.engines()).map(({ pid }) => pid)).toEqual([second])
    clearInterval(filling)
    rmSync(join(path, 'filler'))
    await world.kill('SIGKILL')
    world.start()
    await world.untilRegistered()
    expect((await world.engines()).map(({ pid }) => pid)).toEqual([second])
    expect(problemsOf((await world.status()).parts)).not.toContain('state-not-writable')
    expect(await world.kill('SIGTERM')).toBe(0)
    await world.untilNoProcess()
    expect([...lives(join(path, 'engines')), ...lives(join(world.machine.folder, 'run/state/engines'))]).toEqual([])
  })

  test.each(['full', 'read-only'])('a log disk that is %s costs no engine and no registration', async (how) => {
    const world = await startWorld({ gpus: 1, start: false })
    const path = mount(world, 'log', how === 'full' ? 'mode=750' : 'ro')
    if (how === 'full') fill(path)
    world.start()
    await world.untilRegistered()
    expect(await world.kill('SIGTERM')).toBe(0)
    await world.untilNoProcess()
  })
})
