// A whole configuration from a few variables, as if they were in the process environment.
import { renderFinding } from '../../src/config/finding.ts'
import { judgeGiven } from '../../src/config/judge.ts'
import type { Config } from '../../src/config/schema.ts'

/** @throws with every problem, when the variables make no configuration */
export function configOf(variables: Readonly<Record<string, string>>): Config {
  const origin = { kind: 'environment' as const }
  const judged = judgeGiven(new Map(Object.entries(variables).map(([name, value]) => [name, { value, origin }])))
  if (!judged.config) throw new Error(judged.problems.map(renderFinding).join('\n'))
  return judged.config
}
