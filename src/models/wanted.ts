// Keeps one model's files: found, else downloaded, again and again until they are whole. Its state is what the fleet waits for.
import { signal, type ReadonlySignal, type Signal } from '@preact/signals-core'
import type { Clock } from '../core/clock.ts'
import { Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { until, watch } from '../core/watch.ts'
import type { Download, DownloadDesk } from './download-desk.ts'
import type { VolumeState } from './find-volume.ts'
import type { Files, ModelRef } from './files.ts'
import type { Local } from './local-files.ts'
import { judgeRef } from './model-ref.ts'
import { toModelProblem } from './problems.ts'

export type WantedDeps = {
  ref: ModelRef
  volume: ReadonlySignal<VolumeState>
  offline: boolean
  desk: DownloadDesk
  /** Reads what is on disk. */
  look: (ref: ModelRef) => Promise<Local>
  log: Log
  clock: Clock
  abort: AbortSignal
  /** ms after which a missing or refused model is looked for again. */
  retryEvery: number
}

export type Wanted = { files: Signal<Files>; wake: Signal<number>; ended: Promise<void> }

export function startWanted(deps: WantedDeps): Wanted {
  const files = signal<Files>({ kind: 'looking' })
  const wake = signal(0)
  watch(deps.volume, () => void (wake.value += 1), deps.abort)
  const body = async (abort: AbortSignal) => {
    const old = files.peek()
    // A model in use is not judged again: its engines have it open. Removal says so by itself.
    if (old.kind === 'ready' || (old.kind === 'missing' && old.problem.code === 'model-removed')) return
    await converge(files, deps, abort)
  }
  const { log, clock, abort, retryEvery } = deps
  const loop = startLoop(`model ${deps.ref.repo}`, body, { log, abort, every: retryEvery, wake, clock })
  return { files, wake, ended: loop.ended }
}

async function converge(files: Signal<Files>, deps: WantedDeps, abort: AbortSignal): Promise<void> {
  const { ref } = deps
  const kind = judgeRef(ref)
  if (kind === 'remote') return put(files, { kind: 'ready', path: ref.repo })
  if (kind === 'invalid') return put(files, missing('model-name-invalid', `"${ref.repo}"`))
  const volume = deps.volume.peek()
  if (volume.kind !== 'none' && volume.kind !== 'mounted') {
    const problem = volume.kind === 'looking' ? undefined : volume.problem
    return put(files, { kind: 'waiting', why: 'waiting for the data volume', ...(problem && { problem }) })
  }
  const local = await deps.look(ref)
  if (local.kind === 'complete') return put(files, { kind: 'ready', path: local.path })
  const wrong = local.kind === 'partial' ? `${local.path}: ${local.wrong.slice(0, 5).join('; ')}` : undefined
  if (kind === 'folder')
    return put(files, wrong ? missing('model-incomplete', wrong) : missing('model-folder-missing', ref.repo))
  if (deps.offline)
    return put(
      files,
      wrong ? missing('model-incomplete', wrong) : missing('model-offline', `${ref.repo} is not in the cache`),
    )
  await bring(files, deps, abort)
}

async function bring(files: Signal<Files>, deps: WantedDeps, abort: AbortSignal): Promise<void> {
  const download = startOrWait(deps)
  if (!download) return put(files, { kind: 'waiting', why: 'other downloads run' })
  const side = new AbortController()
  try {
    watch(
      download.state,
      (state) => {
        if (state.kind !== 'running') return
        const { bytesDone, bytesTotal, startedAt } = state
        files.value = { kind: 'downloading', bytesDone, bytesTotal, startedAt }
      },
      AbortSignal.any([abort, side.signal]),
    )
    const end = await until(download.state, (state) => state.kind !== 'running', abort)
    if (end.kind === 'failed') put(files, { kind: 'missing', problem: end.problem })
    if (end.kind === 'cancelled') put(files, missing('model-removed', `the download of ${deps.ref.repo} was cancelled`))
    if (end.kind === 'done') await settle(files, deps)
  } finally {
    side.abort()
  }
}

/** What the hub holds may itself be incomplete. */
async function settle(files: Signal<Files>, deps: WantedDeps): Promise<void> {
  const local = await deps.look(deps.ref)
  if (local.kind === 'complete') return put(files, { kind: 'ready', path: local.path })
  const wrong = local.kind === 'partial' ? local.wrong.slice(0, 5).join('; ') : 'nothing is there'
  put(files, missing('model-incomplete', `${deps.ref.repo}, as the hub has it: ${wrong}`))
}

function startOrWait({ desk, ref }: WantedDeps): Download | undefined {
  try {
    return desk.start(ref)
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

function missing(code: Parameters<typeof toModelProblem>[0], evidence: string): Files {
  return { kind: 'missing', problem: toModelProblem(code, evidence) }
}

/** Equal objects would wake the fleet again. */
function put(files: Signal<Files>, next: Files): void {
  if (JSON.stringify(next) !== JSON.stringify(files.peek())) files.value = next
}
