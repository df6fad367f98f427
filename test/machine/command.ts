// The command line against the daemon of a world, as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { World } from './world.ts'

export type Outcome = { code: number; out: string; err: string }

export const bin = join(import.meta.dirname, '../../src/bin.ts')

/** Killed at the latest when the test is over. */
export function start(world: World, words: readonly string[]): ChildProcess {
  const env = {
    PATH: process.env['PATH'],
    GONKA_SOCKET: world.machine.socket,
    GONKA_ENV_FILE: world.machine.envFile,
    ...world.environment,
  }
  const child = spawn(process.execPath, [bin, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

export async function call(world: World, ...words: string[]): Promise<Outcome> {
  const child = start(world, words)
  const parts = { out: '', err: '' }
  child.stdout?.on('data', (part: Buffer) => (parts.out += part.toString()))
  child.stderr?.on('data', (part: Buffer) => (parts.err += part.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code: code ?? 128, ...parts }
}
