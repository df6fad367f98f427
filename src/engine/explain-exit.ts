// Why an engine ended that nobody asked to: its last words, and its exit status.
import type { Problem } from '../api/status.ts'
import { readLastLines } from '../core/log-file.ts'
import { describeExit, diagnose } from './diagnose.ts'

/** @param code undefined where nobody knows it; D3: nobody asked, so it failed, whatever it is */
export async function explainExit(logPath: string, code: number | undefined, lines: number): Promise<Problem> {
  const { problem } = diagnose(await readLastLines(logPath, lines), code)
  return problem.code === 'engine-exited' || code === undefined
    ? problem
    : { ...problem, evidence: `${problem.evidence} (${describeExit(code)})` }
}
