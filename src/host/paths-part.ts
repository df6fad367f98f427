// The folders that settings name, as a part of the machine: one that cannot be written is said before an engine's Python
// stumbles over it at 3 a.m. Looked at again and again: a permission that was mended, or a disk that went, shows by itself.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Component } from '../core/component.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createStatus } from '../core/status-signal.ts'
import { toHostProblem } from './problems.ts'
import { judgeWritable } from './writable.ts'

export type WatchedPath = { variable: string; where: string; path: string }

export type PathsDeps = {
  /** Asked for with each look: what lies on a volume that is not mounted is that volume's problem. */
  paths: () => readonly WatchedPath[]
  /** Changes when other paths may be asked for. */
  wake?: ReadonlySignal<unknown>
  log: Log
  /** ms */
  every?: number
}

export function startPaths({ paths, wake, log, every = 30_000 }: PathsDeps): Component {
  const status = createStatus('looking at the folders of the settings')
  const ending = new AbortController()
  const look = async () => {
    const wanted = paths()
    const found = await Promise.all(wanted.map(async (one) => ({ ...one, wrong: await judgeWritable(one.path) })))
    const lines = found.flatMap(({ variable, where, path, wrong }) =>
      wrong === undefined ? [] : [`${variable} (${where}): ${path} ${wrong}`],
    )
    if (lines.length === 0) return status.set('ok', `${wanted.length} folders can be written`)
    const problem = toHostProblem('path-unwritable', lines.join('\n'))
    if (status.signal.peek().problem?.evidence !== problem.evidence)
      for (const line of lines) log.error({ code: problem.code }, line)
    status.set('degraded', problem.title, problem)
  }
  const loop = startLoop('paths', look, { log, abort: ending.signal, every, ...(wake && { wake }) })
  return {
    name: 'paths',
    status: status.signal,
    async end() {
      ending.abort()
      await loop.ended
    },
  }
}
