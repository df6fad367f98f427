// How a part says how it is: one value, computed from facts, shown by `gonka-node status`, STATUS= and the control API.

/** Worst first where several are merged: failed, degraded, starting, ok, off. */
export type Health = 'starting' | 'ok' | 'degraded' | 'failed' | 'off'

/**
 * What is wrong with the world, for a person at 3 a.m. `code` is stable, documented in README and never reused.
 * A problem that is only a symptom names its cause's code in `dependsOn` and is hidden behind it.
 */
export type Problem = {
  code: string
  title: string
  /** The line, value or answer that shows it. Never holds a secret. */
  evidence: string
  /** What the operator does about it. */
  remedy: string
  dependsOn?: string
}

export type Status = {
  health: Health
  /** One line, lower case, no full stop. */
  summary: string
  /** When this health and problem began; a new summary alone keeps it. */
  since: Date
  problem?: Problem
}

/** A part's line in `GET /status` of the socket, JSON-safe. */
export type PartStatus = {
  name: string
  health: Health
  summary: string
  since: string
  problem?: Problem
  parts?: PartStatus[]
}

export type NodeStatus = {
  health: Health
  summary: string
  version: string
  pid: number
  startedAt: string
  parts: PartStatus[]
}
