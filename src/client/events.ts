// What happens to a launch, as a loop over it: over a lost connection or a restarted daemon it goes on after the last event seen.
import { setTimeout as wait } from 'node:timers/promises'
import { type LaunchResponse, isTerminal, launchResponse } from '../api/launches.ts'
import { RequestError, UnreachableError } from './errors.ts'
import type { Rest } from './rest.ts'
import { readEvents } from './server-events.ts'

export type LaunchEvent =
  | { type: 'state'; id: string; launch: LaunchResponse }
  /** One line of the engine's log, without its end. */
  | { type: 'log'; id: string; line: string }

export type EventsOptions = {
  /** The `id` of the last event that was seen: those after it come. */
  lastEventId?: string
  signal?: AbortSignal
  /** How long a lost connection is tried again, ms from its loss on; 60,000 where not said. */
  patience?: number
}

/** @throws RequestError (404), UnreachableError after `patience`, the reason of `signal` */
export async function* followEvents(
  rest: Rest,
  launchId: string,
  { lastEventId, signal, patience = 60_000 }: EventsOptions,
): AsyncGenerator<LaunchEvent> {
  const path = `/launch/${encodeURIComponent(launchId)}/events` as const
  const seen = { id: lastEventId, failures: 0 }
  // Of the connection, not of the last event: a launch may have nothing to tell for hours.
  let lostAt: number | undefined
  for (;;) {
    try {
      const headers = seen.id === undefined ? {} : { 'last-event-id': seen.id }
      using silence = startSilence(signal)
      const stream = await rest.open(path, { headers, signal: silence.signal })
      // Everything was told already.
      if (!stream) return
      const heard = () => {
        silence.heard()
        lostAt = undefined
      }
      for await (const { id, event, data } of readEvents(stream, heard)) {
        Object.assign(seen, { id: id || seen.id, failures: 0 })
        const found = parseEvent(id, event, data)
        if (found) yield found
        if (found?.type === 'state' && isTerminal(found.launch.state)) return
      }
      throw new UnreachableError(`GET ${path}`, new Error('the stream ended before the launch did'))
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof RequestError && error.status < 500) throw error
      lostAt ??= performance.now()
      if (performance.now() - lostAt >= patience) throw error
    }
    seen.failures += 1
    // 0.2 s, doubled up to 5 s, half of it by chance: a restarted daemon is not stormed.
    const pause = Math.min(5000, 100 * 2 ** seen.failures) * (0.5 + Math.random() / 2)
    await wait(pause, undefined, signal ? { signal } : {})
  }
}

/** ms; the service sends something every 15 s. */
const longestSilence = 60_000

/** Aborts a connection that is open but dead. */
function startSilence(asked: AbortSignal | undefined) {
  const dead = new AbortController()
  const stop = () => dead.abort(new Error(`nothing came for ${longestSilence} ms`))
  const timer = setTimeout(stop, longestSilence)
  return {
    signal: asked ? AbortSignal.any([asked, dead.signal]) : dead.signal,
    heard: () => void timer.refresh(),
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}

/** Unknown kinds are those of a later version: left out. */
function parseEvent(id: string, event: string, text: string): LaunchEvent | undefined {
  if (event === 'state') return { type: 'state', id, launch: launchResponse.parse(JSON.parse(text)) }
  if (event === 'log') return { type: 'log', id, line: text }
  return undefined
}
