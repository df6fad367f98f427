// What the surfaces see of all launches: those that clients asked for, and the node's own model, which is one of them.
import type { ReadonlySignal } from '@preact/signals-core'
import type { LaunchRequest, LaunchResponse } from '../api/launches.ts'
import type { Component } from '../core/component.ts'
import type { Upstream } from '../engine/upstream.ts'

/** A piece of a launch's log: bytes from `offset` up to `next`, cut at a character boundary. */
export type LogChunk = { offset: number; next: number; content: string }

export interface Launches extends Component {
  /** Oldest first, terminal ones included as long as they are kept. */
  readonly all: ReadonlySignal<readonly LaunchResponse[]>
  get(id: string): LaunchResponse | undefined
  /**
   * Takes the GPUs and returns at once in `bootstrapping`; on disk before it returns.
   * @throws Refusal 400 or 409 with the texts of contracts/control-plane.md A1.1
   */
  create(request: LaunchRequest): Promise<LaunchResponse>
  /**
   * Resolves when its end is proved, or `stopping` after `within` ms. Idempotent on terminal ones.
   * @throws Refusal 404 for an unknown id, 409 for the node's own launch without `force`
   */
  stop(id: string, how: { force: boolean; within: number }): Promise<LaunchResponse>
  /** Takes a forced stop of the node's own launch back. @throws Refusal 404 where the configuration asks for no model */
  startNode(): Promise<LaunchResponse>
  /** A terminal one leaves the list, and its log the disk. @throws Refusal 404 for an unknown id, 409 while it is not terminal */
  forget(id: string): Promise<void>
  /** Offsets as A1.6. Bytes whose head was cut off by the bound of a log are skipped: `offset` says so. @throws Refusal 404 */
  readLog(id: string, offset: number, most: number): Promise<LogChunk>
  /** What comes after `offset`, until `abort` or, for a terminal launch, its end. Bounded pieces. @throws Refusal 404 */
  followLog(id: string, offset: number, abort: AbortSignal): AsyncIterable<LogChunk>
  /** The engines that serve it (several for the node's own); empty while none is up. */
  upstreams(id: string): readonly Upstream[]
}
