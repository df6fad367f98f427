import { spawn } from 'node:child_process'
import { existsSync, linkSync, openSync, unlinkSync, utimesSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { findSegments, sweepSegments } from '../../src/engine/shm.ts'
import { eventually } from '../support/eventually.ts'

async function segment(name: string): Promise<string> {
  const path = `/dev/shm/${name}_${Math.random().toString(36).slice(2)}`
  await writeFile(path, 'x'.repeat(100))
  onTestFinished(() => rm(path, { force: true }))
  return path
}

/** Modified in 1970: nothing of these tests looks new to a sweep that runs beside them. */
const age = (path: string, seconds: number) => utimesSync(path, seconds, seconds)
const name = (path: string) => path.slice('/dev/shm/'.length)

test('what a dead life had open or made goes; what a living process holds, or is older or of another kind, stays', async () => {
  const [had, made, older, held, foreign] = await Promise.all(
    ['psm_had', 'nccl-made', 'psm_older', 'psm_held', 'sem.other'].map(segment),
  )
  if (!had || !made || !older || !held || !foreign) throw new Error('no segments')
  const holder = spawn('sleep', ['1000'], {
    stdio: [openSync(held, 'r'), 'ignore', 'ignore'],
  })
  onTestFinished(() => void holder.kill('SIGKILL'))
  for (const path of [made, held, foreign]) age(path, 5000)
  for (const path of [had, older]) age(path, 1000)
  await eventually('the holder has it', async () => (await findSegments([holder.pid ?? 0])).has(name(held)))
  const swept = await sweepSegments({ segments: new Set([name(had)]), from: 4_000_000, to: 6_000_000 })
  expect(swept.toSorted()).toEqual([name(made), name(had)].toSorted())
  expect([had, made, older, held, foreign].map((path) => existsSync(path))).toEqual([false, false, true, true, true])
})

test('a semaphore of a living process stays, though its maker had opened it under another name', async () => {
  const made = await segment('sem.tmp')
  const holder = spawn('sleep', ['1000'], { stdio: [openSync(made, 'r'), 'ignore', 'ignore'] })
  onTestFinished(() => void holder.kill('SIGKILL'))
  const semaphore = `/dev/shm/sem.mp-${Math.random().toString(36).slice(2)}`
  onTestFinished(() => rm(semaphore, { force: true }))
  // What sem_open of glibc does.
  linkSync(made, semaphore)
  unlinkSync(made)
  age(semaphore, 5000)
  await eventually('the holder has it', async () => (await findSegments([holder.pid ?? 0])).has(name(semaphore)))
  expect(await sweepSegments({ segments: new Set(), from: 4_000_000, to: 6_000_000 })).toEqual([])
  expect(existsSync(semaphore)).toBe(true)
})

test('while a living process does not tell what it has open, only that goes which the dead life was seen to have', async () => {
  const [had, made] = await Promise.all(['psm_had', 'psm_made'].map(segment))
  if (!had || !made) throw new Error('no segments')
  for (const path of [had, made]) age(path, 5000)
  const life = { segments: new Set([name(had)]), from: 4_000_000, to: 6_000_000 }
  const asked: number[][] = []
  const silent = async (pids: readonly number[]) => {
    asked.push([...pids])
    return { held: new Set<number>(), silent: [4711] }
  }
  expect(await sweepSegments(life, silent)).toEqual([name(had)])
  expect(asked.at(-1)).toEqual([4711])
  expect(await sweepSegments(life)).toEqual([name(made)])
})
