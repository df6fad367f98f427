// The downloads that run: at most three at once, one per model, joined by whoever wants the same one.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { type Clock, systemClock } from '../core/clock.ts'
import { messageOf, Refusal } from '../core/errors.ts'
import type { Problem } from '../api/status.ts'
import { downloadModel, type DownloadDeps } from './download.ts'
import type { ModelRef } from './files.ts'
import { renderRef } from './model-ref.ts'
import { ModelTrouble, toModelProblem } from './problems.ts'

export type DownloadState =
  | { kind: 'running'; startedAt: Date; bytesDone: number; bytesTotal: number }
  | { kind: 'done'; path: string }
  | { kind: 'failed'; problem: Problem }
  | { kind: 'cancelled' }

export type Download = {
  readonly ref: ModelRef
  readonly state: ReadonlySignal<DownloadState>
  readonly ended: Promise<void>
}

export interface DownloadDesk {
  find(ref: ModelRef): Download | undefined
  readonly running: readonly Download[]
  /** Joins one that runs already. @throws Refusal 429 `too-many-downloads` */
  start(ref: ModelRef): Download
  /** @returns false where none runs */
  cancel(ref: ModelRef): Promise<boolean>
  forget(ref: ModelRef): void
  end(): Promise<void>
}

const mostAtOnce = 3
/** Progress becomes state at most so often, ms: nobody reads faster, and a chunk comes every 50 µs. */
const tellEvery = 250

/** @param prepare says where to, at the moment of the start. @throws ModelTrouble from it where nothing may be written */
export function createDownloadDesk(prepare: () => Promise<DownloadDeps>, clock: Clock = systemClock): DownloadDesk {
  const all = new Map<string, Download & { abort: AbortController }>()
  const isRunning = (one: Download) => one.state.peek().kind === 'running'

  const launch = (ref: ModelRef) => {
    const abort = new AbortController()
    const state = signal<DownloadState>({
      kind: 'running',
      startedAt: new Date(clock.wall()),
      bytesDone: 0,
      bytesTotal: 0,
    })
    const run = async () => {
      const last = { at: -Infinity }
      const told = (progress: { bytesDone: number; bytesTotal: number }) => {
        const old = state.peek()
        if (old.kind !== 'running' || clock.now() - last.at < tellEvery) return
        last.at = clock.now()
        state.value = { ...old, ...progress }
      }
      try {
        const path = await downloadModel(ref, await prepare(), told, abort.signal)
        state.value = { kind: 'done', path }
      } catch (error) {
        state.value = abort.signal.aborted ? { kind: 'cancelled' } : { kind: 'failed', problem: toProblem(ref, error) }
      }
    }
    const download = { ref, state, ended: run(), abort }
    all.set(renderRef(ref), download)
    return download
  }

  return {
    find: (ref) => all.get(renderRef(ref)),
    get running() {
      return [...all.values()].filter(isRunning)
    },
    start(ref) {
      const known = all.get(renderRef(ref))
      if (known && isRunning(known)) return known
      if ([...all.values()].filter(isRunning).length >= mostAtOnce)
        throw new Refusal('too-many-downloads', 429, `${mostAtOnce} downloads are running already`, {
          remedy: 'wait until one is done, or cancel one with DELETE /api/v1/models',
        })
      return launch(ref)
    },
    async cancel(ref) {
      const known = all.get(renderRef(ref))
      if (!known || !isRunning(known)) return false
      known.abort.abort()
      await known.ended
      return true
    },
    forget: (ref) => void all.delete(renderRef(ref)),
    async end() {
      for (const one of all.values()) one.abort.abort()
      await Promise.all([...all.values()].map((one) => one.ended))
    },
  }
}

function toProblem(ref: ModelRef, error: unknown): Problem {
  if (error instanceof ModelTrouble) return error.problem
  return toModelProblem('model-download-failed', `${ref.repo}: ${messageOf(error)}`)
}
