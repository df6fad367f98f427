// A problem is a row of its part's table (title, remedy, sometimes a cause) and what was seen.
import type { Problem } from '../api/status.ts'

export type ProblemRow = { title: string; remedy: string; dependsOn?: string }

/** Builds problems of one table; `dependsOn` wins over that of the row. */
export function problemsOf<Code extends string>(table: Readonly<Record<Code, ProblemRow>>) {
  return (code: Code, evidence: string, dependsOn?: string): Problem & { code: Code } => {
    const { title, remedy, dependsOn: usual } = table[code]
    const cause = dependsOn ?? usual
    return { code, title, evidence, remedy, ...(cause !== undefined && { dependsOn: cause }) }
  }
}
