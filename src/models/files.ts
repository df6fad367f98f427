// Whether a model's files are on this machine. Shapes; models.ts keeps them true.
import type { Problem } from '../api/status.ts'

/** A hub repository (`Qwen/Qwen3-32B`, with an optional commit) or an absolute folder. */
export type ModelRef = { repo: string; revision?: string }

export type Files =
  | { kind: 'looking' }
  | { kind: 'waiting'; why: string; problem?: Problem }
  | { kind: 'downloading'; bytesDone: number; bytesTotal: number; startedAt: Date }
  | { kind: 'missing'; problem: Problem }
  | { kind: 'ready'; path: string }
