// The API server's end of the EngineCore process: steps go over, answers come back, its death ends what waits.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Knobs } from './engine-knobs.ts'

export interface CoreLink {
  readonly pid: number
  /** Resolves when the core has worked for `ms`. @throws when the core dies; hangs when it hangs */
  step(ms: number): Promise<void>
  /** The core answers nothing from now on. */
  hang(): void
  readonly died: Promise<void>
  /** Nothing waits for it any more, so that the API server can end without it. */
  letGo(): void
  kill(): void
}

/** @returns when the core is up */
export async function startCore(knobs: Knobs, gpus: readonly number[]): Promise<CoreLink> {
  const { orphanMs, gpuState, gpuMib, gpuLingerMs } = knobs
  const told = JSON.stringify({ orphanMs, gpuState, gpus, gpuMib, gpuLingerMs })
  const child = spawn(process.execPath, [join(import.meta.dirname, 'engine-core.ts'), told], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const up = new Promise((resolve) => child.once('message', resolve))
  const died = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await Promise.race([up, died])
  return createLink(child, died)
}

function createLink(child: ChildProcess, died: Promise<void>): CoreLink {
  const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  const steps = { last: 0 }
  child.on('error', () => {})
  child.on('message', (id) => {
    waiting.get(Number(id))?.resolve()
    waiting.delete(Number(id))
  })
  const end = died.then(() => {
    for (const one of waiting.values()) one.reject(new Error('EngineCore encountered an issue'))
    waiting.clear()
  })
  return {
    pid: child.pid ?? 0,
    died: end,
    step(ms) {
      if (!child.connected) return Promise.reject(new Error('EngineCore encountered an issue'))
      return new Promise((resolve, reject) => {
        steps.last += 1
        waiting.set(steps.last, { resolve, reject })
        child.send({ id: steps.last, ms })
      })
    },
    hang: () => void (child.connected && child.send('hang')),
    letGo: () => {
      child.unref()
      if (child.connected) child.disconnect()
    },
    kill: () => void child.kill('SIGKILL'),
  }
}
