// Reads the weights of the wanted model once per boot, while the engine's Python still starts, so that loading finds them in
// memory. Only what fits: more would push out what was read first. Never a reason to wait or to fail.
import { spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { ReadonlySignal } from '@preact/signals-core'
import { createInterface } from 'node:readline'
import { onAbort } from '../core/abort.ts'
import type { Component } from '../core/component.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { readBootId } from '../core/proc.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { watch } from '../core/watch.ts'
import { judgeModelFolder } from './completeness.ts'
import { toGb } from './download.ts'
import type { Files } from './files.ts'
import type { ReadPlan } from './page-cache-reader.ts'
import { openPageCacheRecord, type WeightFile } from './page-cache-record.ts'

export type PageCacheDeps = {
  /** The wanted model; read as soon as it is ready. */
  files: ReadonlySignal<Files>
  /** PARALLEL_READERS; 0 switches it off. */
  readers: number
  stateDir: string
  log: Log
  /** What it waits for at first; absent: it may have nothing to do for long. */
  waits?: string | undefined
  /** Tests bring their own. */
  memAvailable?: () => number
  bootId?: string
  /** ms; see below. */
  saveEvery?: number
}

/** Of MemAvailable: the engine itself needs memory for its processes. */
const share = 0.8
/** ms: what a kill of the daemon costs is read again, from memory mostly. */
const defaultSaveEvery = 2000

export function startPageCache(deps: PageCacheDeps): Component {
  const status = createStatus(deps.waits ?? '')
  if (deps.waits === undefined) status.set('ok', 'reads what an order brings')
  const ending = new AbortController()
  const running: { path?: string; abort?: AbortController; work?: Promise<void> } = {}
  const see = (files: Files) => {
    if (files.kind !== 'ready' || files.path === running.path) return
    running.abort?.abort()
    const abort = new AbortController()
    const before = running.work
    running.path = files.path
    running.abort = abort
    running.work = (async () => {
      await before
      await warm(files.path, deps, status, abort.signal)
    })().catch((error: unknown) => {
      if (abort.signal.aborted) return
      deps.log.warn({ err: error }, 'pre-read failed')
      status.set('degraded', `pre-read failed: ${messageOf(error)}`)
    })
  }
  if (deps.readers > 0) watch(deps.files, see, ending.signal)
  else status.set('off', 'PARALLEL_READERS is 0')
  return {
    name: 'page-cache',
    status: status.signal,
    async end() {
      ending.abort()
      running.abort?.abort()
      await running.work
    },
  }
}

async function warm(path: string, deps: PageCacheDeps, status: StatusSignal, abort: AbortSignal): Promise<void> {
  const model = await judgeModelFolder(path)
  if (model.kind !== 'complete') return status.set('off', 'no weights to read')
  const weights = await statFiles(model.weights.map((file) => join(path, file)))
  const record = await openPageCacheRecord(deps.stateDir, deps.bootId ?? readBootId())
  const before = record.find(path, weights)
  if (before?.isWhole) return status.set('ok', `${toGb(before.bytes)} GB were read earlier in this boot`)
  const from = before?.bytes ?? 0
  const budget = (deps.memAvailable ?? readMemAvailable)() * share
  const files = planFiles(weights, budget, from)
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  if (abort.aborted) return
  if (total === 0 && from === 0) return status.set('off', 'no room in memory, or nothing to read')
  if (total === 0)
    return status.set('ok', `${toGb(from)} GB were read earlier in this boot, and there is no room for more`)
  const began = performance.now()
  const save = (bytes: number) => record.save(path, weights, { bytes: from + bytes, isWhole: false })
  const saver = createSaver(save, deps)
  const bytes = await runReader({ files, readers: deps.readers }, abort, (done, inOrder) => {
    status.set('starting', `reading ahead ${toGb(from + done)} of ${toGb(from + total)} GB`)
    saver.note(inOrder)
  })
  await saver.end()
  if (abort.aborted) return
  const seconds = (performance.now() - began) / 1000
  await record.save(path, weights, { bytes: from + bytes, isWhole: true })
  const earlier = from > 0 ? `, ${toGb(from)} GB earlier in this boot` : ''
  status.set('ok', `${toGb(bytes)} GB read ahead in ${seconds.toFixed(1)} s${earlier}`)
}

function statFiles(paths: readonly string[]): Promise<WeightFile[]> {
  return Promise.all(
    paths.map(async (path) => {
      const { size, mtimeMs } = await stat(path)
      return { path, size, mtimeMs }
    }),
  )
}

/** In load order until the budget is used up, the last file partly; without the first `from` bytes, which count all the same. */
export function planFiles(
  weights: readonly Pick<WeightFile, 'path' | 'size'>[],
  budget: number,
  from = 0,
): ReadPlan['files'] {
  let [left, read] = [Math.max(0, Math.floor(budget)), from]
  const files: ReadPlan['files'][number][] = []
  for (const { path, size } of weights) {
    const [start, stop] = [Math.min(size, read), Math.min(size, left)]
    if (stop > start) files.push({ path, from: start, bytes: stop - start })
    left -= stop
    read -= start
  }
  return files
}

/** Notes how far the reading is, every few seconds and at the end; one write at a time. */
function createSaver(save: (bytes: number) => Promise<void>, { log, saveEvery = defaultSaveEvery }: PageCacheDeps) {
  const state = { bytes: 0, saved: 0, at: performance.now(), work: Promise.resolve() }
  const write = () => {
    if (state.bytes === state.saved) return
    state.at = performance.now()
    state.saved = state.bytes
    const { bytes } = state
    state.work = state.work
      .then(() => save(bytes))
      .catch((error: unknown) => log.warn({ err: error }, 'how far the pre-read is cannot be noted'))
  }
  return {
    note(bytes: number) {
      state.bytes = bytes
      if (performance.now() - state.at > saveEvery) write()
    },
    async end() {
      write()
      await state.work
    },
  }
}

/**
 * @param told all that was read, and how far without a gap
 * @returns the bytes read. @throws where the reader fails; an abort ends it and is no failure
 */
export function runReader(
  plan: ReadPlan,
  abort: AbortSignal,
  told: (bytes: number, inOrder: number) => void,
): Promise<number> {
  const program = join(import.meta.dirname, `page-cache-reader${extname(import.meta.filename)}`)
  return new Promise((resolve, reject) => {
    const env = { UV_THREADPOOL_SIZE: String(Math.max(1, plan.readers)) }
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'], env })
    const state = { bytes: 0, said: '' }
    const forget = onAbort(abort, () => child.kill('SIGKILL'))
    createInterface(child.stdout).on('line', (line) => {
      const [bytes = 0, inOrder = 0] = line.split(' ').map(Number)
      state.bytes = bytes
      told(bytes, inOrder)
    })
    child.stderr.setEncoding('utf8').on('data', (part: string) => (state.said = (state.said + part).slice(-500)))
    child.on('error', reject)
    child.on('close', (code) => {
      forget()
      if (code === 0 || abort.aborted) return resolve(state.bytes)
      reject(new Error(`reader ended with ${code}: ${state.said.trim().replaceAll(/\s+/g, ' ')}`))
    })
    child.stdin.on('error', () => {})
    child.stdin.end(JSON.stringify(plan))
  })
}

/** Bytes. */
function readMemAvailable(): number {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))
  return Number(found?.[1] ?? 0) * 1024
}
