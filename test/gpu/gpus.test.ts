import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { until } from '../../src/core/watch.ts'
import { startGpus } from '../../src/gpu/gpus.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import { rehearsalUuid } from '../../src/rehearsal/nvidia-smi.ts'
import { writeGpuUse } from '../../src/rehearsal/engine-gpu.ts'
import { eventually } from '../support/eventually.ts'
import { startRehearsalGpus } from './rehearsal-gpus.ts'

const bound = () => AbortSignal.timeout(20_000)
type Known = Extract<Inventory, { kind: 'known' }>
const isKnown = (found: Inventory): found is Known => found.kind === 'known'

/** A process that can be named as a holder of memory. */
function startHolder(): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child as ChildProcess & { pid: number }
}

test('GPUs, driver and CUDA version are read, and answers come from memory afterwards', async () => {
  const { gpus } = await startRehearsalGpus({ GPUS: '2' })
  const found = await until(gpus.inventory, isKnown, bound())
  expect(found.gpus.map((gpu) => gpu.uuid)).toEqual([rehearsalUuid(0), rehearsalUuid(1)])
  expect(found.gpus[0]).toMatchObject({ index: 0, memoryTotalMiB: 81_559, memoryUsedMiB: 4, computeCapability: '9.0' })
  expect(found).toMatchObject({ driverVersion: '570.133.20', cudaVersion: '12.8', nvmlVersion: '570.133' })
  expect(gpus.status.peek()).toMatchObject({ health: 'ok', summary: '2 × NVIDIA H100 80GB HBM3, driver 570.133.20' })
})

test('an old driver that knows neither newer fields nor --version is asked for what it knows', async () => {
  const { gpus } = await startRehearsalGpus({
    NO_FIELDS:
      'gpu_recovery_action;clocks_event_reasons.hw_slowdown;clocks_event_reasons.hw_thermal_slowdown;compute_cap',
    CELLS: '0:clocks_throttle_reasons.hw_slowdown=Not Active',
    OLD: '1',
  })
  const found = await until(gpus.inventory, isKnown, bound())
  expect(found.gpus[0]?.computeCapability).toBeUndefined()
  expect(found.gpus[0]?.memoryTotalMiB).toBe(81_559)
  expect(found).toMatchObject({ cudaVersion: '12.8' })
})

test('a machine without nvidia-smi has no GPU, which is a condition and not a failure', async () => {
  const gpus = startGpus({ nvidiaSmi: '/nowhere/nvidia-smi', log: silentLog })
  onTestFinished(() => gpus.end('stop'))
  expect(await gpus.refresh()).toEqual({ kind: 'none', why: '/nowhere/nvidia-smi is not installed' })
  expect(gpus.status.peek()).toMatchObject({ health: 'off' })
})

test('an nvidia-smi that hangs is killed with its group and called a hanging driver', async () => {
  const { gpus } = await startRehearsalGpus({ HANG: '1' }, { timeout: 700 })
  const found = await until(gpus.inventory, (one) => one.kind === 'failed', bound())
  expect(found).toMatchObject({ problem: { code: 'gpu-driver-hangs' } })
  expect(gpus.status.peek().health).toBe('failed')
})

test('a driver that hangs later leaves the GPUs known and says so; it recovers by itself', async () => {
  const { gpus, turn } = await startRehearsalGpus({ GPUS: '2' }, { timeout: 5000 })
  await until(gpus.inventory, isKnown, bound())
  await turn({ HANG: '1' })
  expect(await gpus.refresh()).toMatchObject({ kind: 'known', gpus: [{}, {}] })
  expect(gpus.status.peek()).toMatchObject({ health: 'degraded', problem: { code: 'gpu-driver-hangs' } })
  await turn({ GPUS: '2' })
  await eventually('ok again', async () => (await gpus.refresh()) && gpus.status.peek().health === 'ok')
})

test.for([
  [9, 'gpu-driver-not-loaded'],
  [12, 'gpu-library-mismatch'],
  [18, 'gpu-library-mismatch'],
  [4, 'gpu-no-permission'],
  [15, 'gpu-lost'],
  [255, 'gpu-query-failed'],
] as const)('exit code %d of nvidia-smi is the problem %s', async ([code, problem]) => {
  const { gpus } = await startRehearsalGpus({ EXIT: String(code) })
  expect(await gpus.refresh()).toMatchObject({ kind: 'failed', problem: { code: problem } })
})

test('an nvidia-smi that finds no devices means no GPU', async () => {
  const { gpus } = await startRehearsalGpus({ EXIT: '6' })
  expect(await gpus.refresh()).toMatchObject({ kind: 'none' })
})

test('a GPU that vanishes is named and stays a problem', async () => {
  const { gpus, turn } = await startRehearsalGpus({ GPUS: '3' })
  await until(gpus.inventory, isKnown, bound())
  await turn({ GPUS: '3', LOST: '1' })
  expect(await gpus.refresh()).toMatchObject({ gpus: [{ index: 0 }, { index: 2 }] })
  expect(gpus.status.peek().problem).toMatchObject({
    code: 'gpu-missing',
    evidence: expect.stringContaining('GPU 1'),
  })
})

test('memory use, its processes and MIG instances are told', async () => {
  const { gpus, state } = await startRehearsalGpus({ GPUS: '2', MIG: '1' })
  const holder = startHolder()
  writeGpuUse(state, { pid: holder.pid, gpus: [0], memoryMiB: 70_000, lingerMs: 0 })
  const found = (await gpus.refresh()) as Known
  const later = found.gpus[0]?.memoryUsedMiB === 70_004 ? found : ((await gpus.refresh()) as Known)
  expect(later.gpus[0]).toMatchObject({ memoryUsedMiB: 70_004, mig: false })
  expect(later.gpus[1]?.utilizationPercent).toBeUndefined()
  expect(later.gpus[1]?.migDevices).toHaveLength(2)
  expect(await gpus.processes()).toEqual({
    kind: 'known',
    processes: [{ pid: holder.pid, gpuUuid: rehearsalUuid(0), usedMiB: 70_000 }],
  })
})

/** A holder that is dead: its memory stays until the driver says otherwise, as that of an engine. */
async function holdMemory(state: string, gpu: number): Promise<{ giveBack: () => Promise<void>; pid: number }> {
  const holder = startHolder()
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const { pid } = holder
  writeGpuUse(state, { pid, gpus: [gpu], memoryMiB: 70_000, lingerMs: 3_600_000 })
  return { giveBack: () => rm(join(state, `${pid}.json`)), pid }
}

test('memory is back only when the driver says so, not when the process is gone', async () => {
  const { gpus, state } = await startRehearsalGpus({ GPUS: '2' })
  await until(gpus.inventory, isKnown, bound())
  const { giveBack, pid } = await holdMemory(state, 1)
  expect(await gpus.memoryBack([0], { abort: bound() })).toEqual({ kind: 'back', others: false })
  const heard: string[] = []
  const back = gpus.memoryBack([1], { abort: bound(), onHeld: (why) => void heard.push(why) })
  await eventually('told', () => heard.length > 1)
  expect(heard[0]).toBe(`GPU 1: 70004 MiB in use; nvidia-smi names pid ${pid}`)
  await giveBack()
  expect(await back).toEqual({ kind: 'back', others: false })
})

test.for([
  ['fails', { EXIT: '255' }, /nvidia-smi failed \(exit 255/],
  ['does not find the GPU for a moment', { GPUS: '1', UNREACHABLE: '0' }, /fell off the bus/],
  ['says that it cannot count', { GPUS: '1', CELLS: '0:memory.used=[Unknown Error]' }, /\[Unknown Error\]/],
] as const)('an nvidia-smi that %s proves nothing: it is asked again until it tells', async ([, knobs, why]) => {
  const { gpus, turn } = await startRehearsalGpus({ GPUS: '1' })
  await until(gpus.inventory, isKnown, bound())
  await turn(knobs)
  const heard: string[] = []
  const back = gpus.memoryBack([0], { abort: bound(), onHeld: (text) => void heard.push(text) })
  await eventually('asked again and again', () => heard.length >= 3)
  expect(heard.join()).toMatch(why)
  await turn({ GPUS: '1' })
  expect(await back).toEqual({ kind: 'back', others: false })
})

test.for([
  ['that the driver cannot reach', { GPUS: '2', UNREACHABLE: '1' }],
  ['whose memory cannot be told', { GPUS: '2', CELLS: '1:memory.used=[GPU requires reset]' }],
] as const)('a GPU %s keeps nobody waiting who has another', async ([, knobs]) => {
  const { gpus, turn } = await startRehearsalGpus({ GPUS: '2' })
  await until(gpus.inventory, isKnown, bound())
  await turn(knobs)
  expect(await gpus.memoryBack([0], { abort: bound() })).toEqual({ kind: 'back', others: false })
})

test('what a living process holds, which is not of the engine, is not waited for; what is beyond it is', async () => {
  const { gpus, state } = await startRehearsalGpus({ GPUS: '1' })
  await until(gpus.inventory, isKnown, bound())
  const stranger = startHolder()
  writeGpuUse(state, { pid: stranger.pid, gpus: [0], memoryMiB: 10_000, lingerMs: 0 })
  const { giveBack } = await holdMemory(state, 0)
  const heard: string[] = []
  const back = gpus.memoryBack([0], { abort: bound(), onHeld: (why) => void heard.push(why) })
  await eventually('told', () => heard.length > 0)
  expect(heard[0]).toContain(String(stranger.pid))
  await giveBack()
  expect(await back).toEqual({ kind: 'back', others: true })
  // Whoever plans with it sees the stranger soon, and not at the next question half an hour from now.
  await until(gpus.inventory, (found) => isKnown(found) && found.gpus[0]?.memoryUsedMiB === 10_004, bound())
})

test('whoever gives up is told what is held', async () => {
  const { gpus, state } = await startRehearsalGpus({ GPUS: '1' })
  await until(gpus.inventory, isKnown, bound())
  const { pid } = await holdMemory(state, 0)
  const abort = new AbortController()
  const back = gpus.memoryBack([0], { abort: abort.signal, onHeld: () => abort.abort() })
  expect(await back).toMatchObject({ kind: 'held', evidence: expect.stringContaining(String(pid)) as string })
})

test('nobody waits where there is nothing to wait for: no nvidia-smi, no device, memory that this driver does not count', async () => {
  const none = startGpus({ nvidiaSmi: '/nowhere/nvidia-smi', log: silentLog })
  onTestFinished(() => none.end('stop'))
  expect(await none.memoryBack([0], { abort: bound() })).toEqual({ kind: 'none' })
  const { gpus, turn } = await startRehearsalGpus({ EXIT: '6' })
  expect(await gpus.memoryBack([0], { abort: bound() })).toEqual({ kind: 'none' })
  for (const cell of ['[N/A]', '[Insufficient Permissions]']) {
    await turn({ GPUS: '1', CELLS: `0:memory.used=${cell}` })
    expect(await gpus.memoryBack([0], { abort: bound() })).toEqual({ kind: 'back', others: false })
  }
})
