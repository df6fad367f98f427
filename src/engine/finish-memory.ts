// The last wait of an end: for the GPU memory, which is back seconds after the last process, or never. A look that fails, and a
// daemon that ends, prove nothing. Whoever waits long is told why.
import type { Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { EngineDeps, EngineSpec } from './life.ts'
import { engineProblem } from './problems.ts'

/** free: proved. others: what is left there is not ours. let-go: nobody waits any longer. left: the next daemon waits. */
export type MemoryEnd = 'free' | 'others' | 'let-go' | 'left'

export type MemoryParts = {
  spec: EngineSpec
  deps: Pick<EngineDeps, 'gpuMemoryBack' | 'log'>
  clock: Clock
  /** Shown on the engine, or its launch, while it is waited for. */
  problem: Signal<Problem | undefined>
  letGo: AbortSignal
  leave: AbortSignal
}

/** From here on it is a problem: memory comes back 1-5 s after the process, on unified memory later. ms */
const memoryPatience = 30_000

export async function untilMemoryFree(parts: MemoryParts): Promise<MemoryEnd> {
  const { spec, deps, clock, problem, letGo, leave } = parts
  const look = deps.gpuMemoryBack
  if (!look || spec.gpus.length === 0) return 'free'
  const abort = AbortSignal.any([letGo, leave])
  const done = new AbortController()
  const told = createTelling(parts, done.signal)
  try {
    while (!abort.aborted) {
      try {
        const found = await look(spec.gpus, { abort, onHeld: told.hear })
        if (problem.peek()?.code === 'gpu-memory-kept') {
          deps.log.info({ gpus: spec.gpus, seconds: told.seconds() }, 'GPU memory is back')
          problem.value = undefined
        }
        return found
      } catch (error) {
        told.hear(messageOf(error))
        if (!abort.aborted) await clock.wait(1000, abort)
      }
    }
    return leave.aborted ? 'left' : 'let-go'
  } finally {
    done.abort()
  }
}

/** Silent for as long as memory usually takes. */
function createTelling({ spec, deps, clock, problem }: MemoryParts, done: AbortSignal) {
  const [from, since] = [clock.now(), new Date(clock.wall()).toISOString()]
  const seconds = () => Math.round((clock.now() - from) / 1000)
  const heard = { why: 'nvidia-smi has not answered' }
  const tell = () => {
    const evidence = `${describeGpus(spec.gpus)}, since ${since}: ${heard.why}`
    if (problem.peek()?.evidence === evidence) return
    if (problem.peek()?.code !== 'gpu-memory-kept')
      deps.log.warn({ evidence, seconds: seconds() }, 'GPU memory did not come back; it is waited for')
    problem.value = engineProblem('gpu-memory-kept', evidence)
  }
  void clock.wait(memoryPatience, done).then(() => done.aborted || tell())
  return {
    seconds,
    hear: (why: string) => {
      heard.why = why
      if (problem.peek()?.code === 'gpu-memory-kept') tell()
    },
  }
}

const describeGpus = (gpus: readonly number[]): string => `GPU${gpus.length > 1 ? 's' : ''} ${gpus.join(', ')}`
