// Whether a model's files are on this machine. Shapes; models.ts keeps them true.
import type { Problem } from '../api/status.ts'

/** A hub repository (`Qwen/Qwen3-32B`, with an optional commit or branch) or an absolute folder. */
export type ModelRef = {
  repo: string
  revision?: string
  /** `--load-format dummy`: configuration and tokenizer are enough. */
  weightless?: boolean
}

export type Files =
  | { kind: 'looking' }
  | { kind: 'waiting'; why: string; problem?: Problem }
  | { kind: 'downloading'; bytesDone: number; bytesTotal: number; startedAt: Date }
  | { kind: 'missing'; problem: Problem }
  | { kind: 'ready'; path: string }

/** A model on disk in the broker's terms (contracts/node-api.md 1.8). */
export type ModelState = {
  status: 'DOWNLOADED' | 'DOWNLOADING' | 'NOT_FOUND' | 'PARTIAL'
  startedAt?: Date
  bytesDone?: number
  bytesTotal?: number
  /** What the last download or check ended with. */
  error?: string
}

/** Bytes. */
export type ModelSpace = { cacheBytes: number; availableBytes: number; path: string }
