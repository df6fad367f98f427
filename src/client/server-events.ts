// A text/event-stream as events (https://html.spec.whatwg.org/multipage/server-sent-events.html): comments dropped, data lines joined.

export type ServerEvent = { id: string; event: string; data: string }

/** Longer events end the stream: a server without line ends must not fill our memory. */
const longestEvent = 16 * 1024 * 1024

/**
 * Ends with the stream; a reader that leaves closes it.
 * @param heard called for whatever comes, comments too @throws what the stream throws
 */
export async function* readEvents(
  stream: ReadableStream<Uint8Array>,
  heard: () => void = () => {},
): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  const open = { id: '', event: '', data: [] as string[] }
  let rest = ''
  for await (const piece of stream) {
    heard()
    rest += decoder.decode(piece, { stream: true })
    if (rest.length > longestEvent) throw new Error(`an event has more than ${longestEvent} characters`)
    // A \r at the very end may be the first half of \r\n.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line !== '') collect(open, line)
      else if (open.data.length > 0) {
        yield { id: open.id, event: open.event || 'message', data: open.data.join('\n') }
        open.event = ''
        open.data = []
      }
    }
  }
}

function collect(open: { id: string; event: string; data: string[] }, line: string): void {
  const colon = line.indexOf(':')
  const name = colon < 0 ? line : line.slice(0, colon)
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
  if (name === 'data') open.data.push(value)
  if (name === 'event') open.event = value
  if (name === 'id' && !value.includes('\0')) open.id = value
}
