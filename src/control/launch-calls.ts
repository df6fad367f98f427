// What REST and the socket do alike with launches: the checks before a launch, bounds of a stop and of a piece of log.
import type { LaunchRequest, LaunchResponse, LogsResponse } from '../api/launches.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { LogChunk, Launches } from '../fleet/launches.ts'
import { checkKwargs } from './launch-kwargs.ts'

export type LaunchCallsDeps = {
  launches: Launches
  /** CONTROL_SAFE_KWARGS_ONLY */
  safeKwargsOnly: boolean
  /** Most bytes of log in one answer. */
  logReadChunk: number
  log: Log
  clock?: Clock
}

export interface LaunchCalls {
  /** Oldest first. */
  list(includeTerminal: boolean): LaunchResponse[]
  /** @throws Refusal 404 */
  get(id: string): LaunchResponse
  /** @throws Refusal 400, 409 */
  create(request: LaunchRequest): Promise<LaunchResponse>
  /**
   * Answers within 28 s, `stopping` where the end is not proved by then.
   * @param waited ms of them that are over already
   * @throws Refusal 404, 409
   */
  stop(id: string, force: boolean, waited?: number): Promise<LaunchResponse>
  /** Stops it if it runs; one that has ended is forgotten. @throws as stop() */
  remove(id: string, waited?: number): Promise<LaunchResponse>
  /** @throws Refusal 404 */
  logs(id: string, offset: number): Promise<LogsResponse>
}

/** ms; clients of the old service give up after 30 s (A1.3, row 6). */
const stopWithin = 27_000
const stopAnswer = 28_000

export function createLaunchCalls(deps: LaunchCallsDeps): LaunchCalls {
  const { launches, safeKwargsOnly, logReadChunk, log, clock = systemClock } = deps
  const get = (id: string) => {
    const found = launches.get(id)
    if (!found) throw new Refusal('launch-unknown', 404, `Unknown launch_id: ${id}`)
    return found
  }
  const stop = async (id: string, force: boolean, waited = 0) => {
    const bell = new AbortController()
    const late = clock.wait(stopAnswer - waited, bell.signal).then(() => get(id))
    late.catch(() => {})
    try {
      return await Promise.race([launches.stop(id, { force, within: stopWithin - waited }), late])
    } finally {
      bell.abort()
    }
  }
  return {
    list: (includeTerminal) =>
      launches.all.peek().filter(({ state }) => includeTerminal || (state !== 'stopped' && state !== 'failed')),
    get,
    async create(request) {
      const risky = checkKwargs(request.extra_kwargs, safeKwargsOnly)
      const launch = await launches.create(request)
      if (risky.length > 0)
        log.warn({ launch: launch.launch_id, kwargs: risky }, 'launch with arguments that may load code or read files')
      return launch
    },
    stop,
    async remove(id, waited) {
      const last = get(id)
      if (last.state !== 'stopped' && last.state !== 'failed') return stop(id, false, waited)
      await launches.forget(id)
      return last
    },
    async logs(id, offset) {
      return toLogs(id, await launches.readLog(id, offset, logReadChunk))
    },
  }
}

export function toLogs(id: string, { offset, next, content }: LogChunk): LogsResponse {
  return { launch_id: id, offset, next_offset: next, content }
}
