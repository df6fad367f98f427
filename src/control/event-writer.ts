// Server-sent events to one reader: heartbeats while nothing happens, and a wait for a reader that is slow, bounded.
import type { ServerResponse } from 'node:http'
import { onAbort } from '../core/abort.ts'

/** `data` has no line ends. */
export type ServerEvent = { id: string; event: string; data: string }

export interface EventWriter {
  /** The reader left, or was given up. */
  readonly gone: AbortSignal
  /** Resolves when there is room for more. @throws the reason of `gone` */
  write(event: ServerEvent): Promise<void>
  end(): void
}

/** ms; proxies close what is silent for 30 s to 60 s. */
const beat = 15_000
/** ms; a reader that takes nothing for so long is not there. */
const patience = 60_000

export function createEventWriter(response: ServerResponse): EventWriter {
  const leave = new AbortController()
  const lost = () => leave.abort(new DOMException('the reader of events left', 'AbortError'))
  response.once('close', lost)
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  // The head leaves at once, also where nothing happens for long.
  response.write(': events\n\n')
  const pulse = setInterval(() => {
    if (!response.writableNeedDrain) response.write(': still here\n\n')
  }, beat)
  return {
    gone: leave.signal,
    async write({ id, event, data }) {
      leave.signal.throwIfAborted()
      if (!response.write(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`)) await untilDrained(response, leave.signal)
      leave.signal.throwIfAborted()
    },
    end() {
      clearInterval(pulse)
      response.off('close', lost)
      response.end()
    },
  }
}

function untilDrained(response: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => response.destroy(), patience)
    const forget = onAbort(gone, done)
    response.once('drain', done)
    function done(): void {
      clearTimeout(timer)
      forget?.()
      response.off('drain', done)
      resolve()
    }
  })
}
