// The engines as the fleet uses them: started, or adopted from the daemon before. engine/ brings the real ones.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'
import type { Upstream } from '../engine/upstream.ts'

export type EngineSpec = {
  model: string
  modelPath: string
  slot: number
  gpus: readonly number[]
  port: number
  profile: ProfileName
  argv: readonly string[]
  env: Record<string, string>
  python: string
  hasPoc: boolean
  args: readonly string[]
  owner: string
}
export type Phase = 'launching' | 'loading' | 'serving' | 'ending' | 'gone'
export type End =
  | { why: 'exited'; code: number | undefined }
  | { why: 'asked' }
  | { why: 'left' }
  | { why: 'never-ready' | 'stuck'; problem: Problem }
export interface EngineLife {
  readonly spec: EngineSpec
  readonly upstream: Upstream
  readonly phase: ReadonlySignal<Phase>
  readonly progress: ReadonlySignal<{ stage?: string; percent?: number }>
  readonly pid: number | undefined
  readonly adopted: boolean
  readonly logPath: string
  readonly startedAt: Date
  park(): void
  unpark(): void
  stop(how?: { drain: boolean }): Promise<End>
  leave(): void
  readonly ended: Promise<{ end: End; problem?: Problem }>
}

export interface Lives {
  /** Returns at once; slowness and failure are phases of the life. */
  start(spec: EngineSpec): EngineLife
  /** Every engine of an earlier daemon that lives, loading ones included. */
  adopt(): Promise<readonly EngineLife[]>
}
