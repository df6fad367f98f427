// One thing found wrong or odd in the configuration, and where. Never holds the value of a secret.
import type { configProblems } from './problems.ts'

/** Where a value comes from. Lines count from 1. */
export type Origin = { kind: 'default' } | { kind: 'environment' } | { kind: 'file'; path: string; line: number }

export type Finding = {
  /** Absent where it is about a whole file or line. */
  variable?: string
  /** `/etc/gonka-container.env:3`, `environment` or `not set`. */
  where: string
  /** `what is wrong; what to write instead` */
  message: string
  code?: keyof typeof configProblems
}

export type Findings = { problems: Finding[]; warnings: Finding[] }

/** `VARIABLE (file:line): what is wrong; what to write instead` */
export function renderFinding({ variable, where, message }: Finding): string {
  return variable ? `${variable} (${where}): ${message}` : `${where}: ${message}`
}

export function renderOrigin(origin: Origin | undefined): string {
  if (!origin) return 'not set'
  return origin.kind === 'file' ? `${origin.path}:${origin.line}` : origin.kind
}
