// The EngineCore of the rehearsal engine: a process of its own, so that orphans, hangs (SIGSTOP) and kills are real.
// Outlives a killed API server, as vLLM's does (facts/vllm.md 2.5), but not for ever.
import { writeGpuUse } from './engine-gpu.ts'

/** One step of work: `ms` later the answer carries the same id. */
export type CoreStep = { id: number; ms: number }

process.title = 'VLLM::EngineCore'
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

const told = JSON.parse(process.argv[2] ?? '{}') as {
  orphanMs: number
  gpuState: string
  gpus: number[]
  gpuMib: number
  gpuLingerMs: number
}

if (told.gpuState) {
  const { gpus, gpuMib, gpuLingerMs } = told
  writeGpuUse(told.gpuState, { pid: process.pid, gpus, memoryMiB: gpuMib, lingerMs: gpuLingerMs })
}

process.on('message', (step: CoreStep | 'hang') => {
  if (step === 'hang') process.removeAllListeners('message')
  else if (step.ms <= 0) process.send?.(step.id)
  else setTimeout(() => process.send?.(step.id), step.ms)
})
process.on('disconnect', () => setTimeout(() => process.exit(0), told.orphanMs))
// Work ends by a message or by the disconnect above, never because nothing is scheduled.
setInterval(() => {}, 3_600_000)
process.send?.('up')
