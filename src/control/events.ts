// `GET /launch/{id}/events`: what happens to a launch as server-sent events, `state` with the whole LaunchResponse and `log` with one
// line each, until it has ended; its last state comes last. An event's id says how far its reader got: with it in `Last-Event-ID`
// the next connection goes on there. A slow reader is waited for, and nothing piles up for it.
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { computed } from '@preact/signals-core'
import { isTerminal, type LaunchResponse } from '../api/launches.ts'
import { isAbort, within } from '../core/abort.ts'
import { changesOf } from '../core/changes.ts'
import { until } from '../core/watch.ts'
import type { Launches } from '../fleet/launches.ts'
import { createEventWriter, type EventWriter } from './event-writer.ts'
import { createLogLines, type LogLine } from './log-lines.ts'
import { type Answer, toJson } from './router.ts'

/** Each holds a connection and a piece of log. */
const mostReaders = 256

/** ms; an engine tells dozens of steps while it loads. */
const progressEvery = 1000

/** How far a reader got: bytes of the log, and the state that it knows. */
type Place = { offset: number; mark: string }

export type SendEvents = (
  io: { request: IncomingMessage; response: ServerResponse },
  launch: LaunchResponse,
) => Promise<Answer | undefined>

export function createEvents(launches: Launches): SendEvents {
  const readers = { count: 0 }
  return async ({ request, response }, launch) => {
    const place = parsePlace(request.headers['last-event-id'])
    // The standard's word for "do not connect again": everything was told.
    if (isTerminal(launch.state) && place.mark === toMark(launch)) return { status: 204, type: '', text: '' }
    if (readers.count >= mostReaders)
      return toJson(503, { detail: `there are ${mostReaders} readers of events already` })
    readers.count += 1
    const writer = createEventWriter(response)
    try {
      await tell(writer, launch.launch_id, { launches, place })
    } catch (error) {
      if (!writer.gone.aborted && !isAbort(error)) throw error
    } finally {
      readers.count -= 1
      writer.end()
    }
    return undefined
  }
}

async function tell(
  writer: EventWriter,
  id: string,
  { launches, place }: { launches: Launches; place: Place },
): Promise<void> {
  const over = new AbortController()
  const done = AbortSignal.any([over.signal, writer.gone])
  const lines = createLogLines()
  const states = tellStates()
  // Whatever it is, the log's loop below ends first and says it.
  states.catch(() => over.abort())
  try {
    for await (const chunk of launches.followLog(id, place.offset, done)) await tellLines(lines.take(chunk))
    await tellLines(lines.rest())
  } finally {
    over.abort()
    await states
  }
  // How it ended comes behind the end of its log. One that was forgotten meanwhile has no more to tell.
  const last = launches.get(id)
  if (last) await tellState(last)

  async function tellStates(): Promise<void> {
    const view = computed(() => launches.all.value.find(({ launch_id }) => launch_id === id))
    const told = { at: -Infinity, core: '' }
    for await (const launch of changesOf(view, done)) {
      const rest = Math.ceil(told.at + progressEvery - performance.now())
      // A step of the load waits for the next one; what becomes of the launch does not.
      if (toCore(launch) === told.core && rest > 0)
        await until(view, (now) => toCore(now) !== told.core, within(rest, done)).catch(() => {})
      const now = view.peek()
      if (!now || isTerminal(now.state)) continue
      Object.assign(told, { at: performance.now(), core: toCore(now) })
      await tellState(now)
    }
  }

  async function tellState(launch: LaunchResponse): Promise<void> {
    const mark = toMark(launch)
    if (mark === place.mark) return
    place.mark = mark
    await writer.write({ id: toId(place), event: 'state', data: JSON.stringify(launch) })
  }

  async function tellLines(found: readonly LogLine[]): Promise<void> {
    for (const { text, end } of found) {
      place.offset = end
      if (text !== '') await writer.write({ id: toId(place), event: 'log', data: text })
    }
  }
}

/** What a reader wants to be told of: all of it but the seconds that pass. */
function toMark({ progress, ...launch }: LaunchResponse): string {
  const { seconds: _, ...steps } = progress ?? {}
  const told = JSON.stringify([launch, steps])
  return createHash('sha256').update(told).digest('base64url').slice(0, 12)
}

/** What is told at once. */
function toCore(launch: LaunchResponse | undefined): string {
  const { progress: _, ...core } = launch ?? {}
  return JSON.stringify(core)
}

const toId = ({ offset, mark }: Place) => `${offset}.${mark}`

/** Of a stranger, or none: from the beginning. */
function parsePlace(id: string | string[] | undefined): Place {
  const [, offset, mark = ''] = /^(\d{1,15})\.([\w-]*)$/.exec(String(id ?? '')) ?? []
  return { offset: Number(offset ?? 0), mark }
}
