// Reads the weights of the wanted model once per boot, while the engine's Python still starts, so that loading finds them in
// memory. Only what fits: more would push out what was read first. Never a reason to wait or to fail.
import { spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { ReadonlySignal } from '@preact/signals-core'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { onAbort } from '../core/abort.ts'
import type { Component } from '../core/component.ts'
import { messageOf } from '../core/errors.ts'
import { readJson, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'
import { readBootId } from '../core/proc.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { watch } from '../core/watch.ts'
import { judgeModelFolder } from './completeness.ts'
import { toGb } from './download.ts'
import type { Files } from './files.ts'
import type { ReadPlan } from './page-cache-reader.ts'

export type PageCacheDeps = {
  /** The wanted model; read as soon as it is ready. */
  files: ReadonlySignal<Files>
  /** PARALLEL_READERS; 0 switches it off. */
  readers: number
  stateDir: string
  log: Log
  /** Tests bring their own. */
  memAvailable?: () => number
  bootId?: string
}

const marker = z.object({ bootId: z.string(), path: z.string(), bytes: z.number() })
/** Of MemAvailable: the engine itself needs memory for its processes. */
const share = 0.8

export function startPageCache(deps: PageCacheDeps): Component {
  const status = createStatus('waiting for the model')
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
  const bootId = deps.bootId ?? readBootId()
  const markerPath = join(deps.stateDir, 'page-cache.json')
  const old = await readJson(markerPath, marker)
  if (old.kind === 'value' && old.value.bootId === bootId && old.value.path === path)
    return status.set('ok', `${toGb(old.value.bytes)} GB were read earlier in this boot`)
  const model = await judgeModelFolder(path)
  if (model.kind !== 'complete') return status.set('off', 'no weights to read')
  const budget = (deps.memAvailable ?? readMemAvailable)() * share
  const files = await planFiles(
    model.weights.map((file) => join(path, file)),
    budget,
  )
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  if (total === 0 || abort.aborted) return status.set('off', 'no room in memory, or nothing to read')
  const began = performance.now()
  const bytes = await runReader({ files, readers: deps.readers }, abort, (done) =>
    status.set('starting', `reading ahead ${toGb(done)} of ${toGb(total)} GB`),
  )
  if (abort.aborted) return
  const seconds = (performance.now() - began) / 1000
  await writeJson(markerPath, { bootId, path, bytes })
  status.set('ok', `${toGb(bytes)} GB read ahead in ${seconds.toFixed(1)} s`)
}

/** In load order until the budget is used up; the last file partly. */
export async function planFiles(paths: readonly string[], budget: number): Promise<ReadPlan['files']> {
  let left = Math.max(0, Math.floor(budget))
  const files: { path: string; bytes: number }[] = []
  for (const path of paths) {
    const bytes = Math.min(left, (await stat(path)).size)
    if (bytes > 0) files.push({ path, bytes })
    left -= bytes
  }
  return files
}

/** @returns the bytes read. @throws where the reader fails; an abort ends it and is no failure */
export function runReader(plan: ReadPlan, abort: AbortSignal, told: (bytes: number) => void): Promise<number> {
  const program = join(import.meta.dirname, `page-cache-reader${extname(import.meta.filename)}`)
  return new Promise((resolve, reject) => {
    const env = { UV_THREADPOOL_SIZE: String(Math.max(1, plan.readers)) }
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'], env })
    const state = { bytes: 0, said: '' }
    const forget = onAbort(abort, () => child.kill('SIGKILL'))
    createInterface(child.stdout).on('line', (line) => told((state.bytes = Number(line))))
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
