// Runs nvidia-smi, bounded in time. One that hangs in the kernel cannot be killed: no second one is started beside it.
import type { Problem } from '../api/status.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { toGpuProblem } from './problems.ts'

export type SmiAnswer =
  | { kind: 'ok'; stdout: string }
  /** No nvidia-smi, or no device: not a failure. */
  | { kind: 'none'; why: string }
  /** A field or an option that this version does not know (exit 2). */
  | { kind: 'invalid'; text: string }
  | { kind: 'failed'; problem: Problem }

export interface NvidiaSmi {
  ask(args: readonly string[], abort?: AbortSignal): Promise<SmiAnswer>
}

export type SmiOptions = {
  program: string
  /** ms; 1-3 s are usual without persistence mode, and the driver lock may be held by a starting engine. */
  timeout: number
  env?: Readonly<Record<string, string>>
}

export function createNvidiaSmi({ program, timeout, env = plainEnv }: SmiOptions): NvidiaSmi {
  const stuck = new Set<number>()
  return {
    async ask(args, abort) {
      if (stuck.size > 0) return hangs(`nvidia-smi (pid ${[...stuck].join(', ')}) was killed and does not end`)
      const outcome = await runProgram(program, args, { timeout, env, ...(abort && { abort }) })
      switch (outcome.kind) {
        case 'exited':
          return judgeExit(outcome.code, `${outcome.stdout}\n${outcome.stderr}`.trim(), outcome.stdout)
        case 'not-started':
          if (outcome.code === 'ENOENT') return { kind: 'none', why: `${program} is not installed` }
          return { kind: 'failed', problem: toGpuProblem('gpu-query-failed', `${program}: ${outcome.why}`) }
        case 'timed-out':
          stuck.add(outcome.pid)
          void outcome.gone.then(() => stuck.delete(outcome.pid))
          return hangs(`no answer of nvidia-smi ${args.join(' ').slice(0, 80)} within ${timeout} ms`)
        case 'aborted':
          return { kind: 'failed', problem: toGpuProblem('gpu-query-failed', 'the question was cancelled') }
      }
    },
  }
}

function hangs(evidence: string): SmiAnswer {
  return { kind: 'failed', problem: toGpuProblem('gpu-driver-hangs', evidence) }
}

/** Exit codes of nvidia-smi (facts/nvidia-smi.md): each its own problem. Pure. */
export function judgeExit(code: number, text: string, stdout: string): SmiAnswer {
  if (/no devices were found/i.test(text)) return { kind: 'none', why: 'nvidia-smi found no devices' }
  const evidence = `exit ${code}: ${text.split('\n').find((line) => line.trim() !== '') ?? 'no text'}`.slice(0, 300)
  const failed = (problem: Problem): SmiAnswer => ({ kind: 'failed', problem })
  switch (code) {
    case 0:
      return { kind: 'ok', stdout }
    case 2:
    case 3:
      return { kind: 'invalid', text }
    case 4:
      return failed(toGpuProblem('gpu-no-permission', evidence))
    case 9:
      return failed(toGpuProblem('gpu-driver-not-loaded', evidence))
    case 12:
    case 13:
    case 18:
      return failed(toGpuProblem('gpu-library-mismatch', evidence))
    case 15:
      return failed(toGpuProblem('gpu-lost', evidence))
    default:
      if (/is lost|fallen off the bus/i.test(text)) return failed(toGpuProblem('gpu-lost', evidence))
      return failed(toGpuProblem('gpu-query-failed', evidence))
  }
}
