// The folders that settings name, as a part of the machine: one that cannot be written is said before an engine's Python
// stumbles over it at 3 a.m. Looked at again and again: a permission that was mended, or a disk that went, shows by itself.
import type { ReadonlySignal } from '@preact/signals-core'
import { systemClock } from '../core/clock.ts'
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
  /** ms for each path: a dead network file system answers nobody. */
  patience?: number
  judge?: typeof judgeWritable
}

export function startPaths(deps: PathsDeps): Component {
  const { paths, wake, log, every = 30_000, patience = 3000, judge = judgeWritable } = deps
  const status = createStatus('looking at the folders of the settings')
  const ending = new AbortController()
  const ask = askOneByOne(judge, { patience, abort: ending.signal })
  const look = async () => {
    const wanted = paths()
    const found = []
    for (const one of wanted) found.push({ ...one, wrong: await ask(one.path) })
    if (ending.signal.aborted) return
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

/**
 * Never takes more than one of the four threads that all file and DNS calls of this process share: while a path does not answer, no
 * other one is asked, and each of them is as it was known last.
 */
function askOneByOne(judge: typeof judgeWritable, { patience, abort }: { patience: number; abort: AbortSignal }) {
  const known = new Map<string, string | undefined>()
  let asked: string | undefined
  return async (path: string): Promise<string | undefined> => {
    if (asked !== undefined) return asked === path ? silent : known.get(path)
    if (abort.aborted) return undefined
    asked = path
    const answer = judge(path).then((wrong) => {
      asked = undefined
      known.set(path, wrong)
      return wrong
    })
    const over = new AbortController()
    const late = systemClock.wait(patience, AbortSignal.any([abort, over.signal])).then(() => silent)
    return Promise.race([answer, late]).finally(() => over.abort())
  }
}

const silent = 'does not answer; see to its disk or network file system, or name another folder'
