// One engine as it should be, before it has a port. What `decide` compares with the engines that live.
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'

export type EnginePlan = {
  owner: string
  slot: number
  gpus: readonly number[]
  model: string
  modelPath: string
  profile: ProfileName
  python: string
  hasPoc: boolean
  /** What makes it this engine: dtype resolved, tp and pp, and the rest, in argv spelling; nothing that the daemon owns. */
  args: readonly string[]
  /** The part of its environment that the operator sets; the rest follows from the other fields. */
  env: Readonly<Record<string, string>>
  /** Digest of what of it is secret (secret-digest.ts); absent where it is not known. */
  secrets?: string | undefined
}

/**
 * Facts of a wish before anything loads. waiting: facts are still coming. blocked: the world stands against it, and this may
 * change. impossible: the wish itself cannot be had on this machine.
 */
export type Resolved =
  | { kind: 'waiting'; why: string; problem?: Problem }
  | { kind: 'blocked'; problem: Problem }
  | { kind: 'impossible'; problem: Problem }
  | { kind: 'planned'; plans: readonly EnginePlan[]; notes: readonly string[] }

/** Where the node is with what it should run, as the last pass of the loop saw it. */
export type Progress =
  | { kind: 'nothing' }
  | { kind: 'parked' }
  | { kind: 'starting' }
  /** assumed: an engine of that name serves, but whether it is the wanted one cannot be told yet. */
  | { kind: 'serving'; assumed?: true }
  | { kind: 'failed'; problem: Problem }
