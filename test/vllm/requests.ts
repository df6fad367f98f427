// Requests to an OpenAI surface, as clients of a node send them.

export type Streamed = { status: number; type: string | null; events: string[] }

export const chatBody = (model: string, more: Record<string, unknown> = {}): string =>
  JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'Say hello in five words.' }],
    temperature: 0,
    max_tokens: 32,
    ...more,
  })

export function post(url: string, body: string, signal = AbortSignal.timeout(60_000)): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal })
}

/** A whole streamed chat: the data of its events, `[DONE]` included. */
export async function streamChat(base: string, model: string): Promise<Streamed> {
  const response = await post(`${base}/v1/chat/completions`, chatBody(model, { stream: true, ignore_eos: true }))
  const events = (await response.text()).split('\n\n').map((event) => event.replace(/^data: /, ''))
  return { status: response.status, type: response.headers.get('content-type'), events: events.filter(Boolean) }
}

/** Begins a stream that lasts some seconds, and waits for its first bytes. */
export async function beginStream(base: string, model: string) {
  const abort = new AbortController()
  const more = { stream: true, ignore_eos: true, max_tokens: 200 }
  const response = await post(`${base}/v1/chat/completions`, chatBody(model, more), abort.signal)
  const reader = response.body!.getReader()
  await reader.read()
  return {
    abort: () => abort.abort(),
    /** Rejects where the stream is cut off. */
    async rest(): Promise<string> {
      const decoder = new TextDecoder()
      let text = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return text
        text += decoder.decode(value, { stream: true })
      }
    },
  }
}

/** The sum over all series of that name whose labels hold `label`. */
export async function readMetric(base: string, name: string, label = ''): Promise<number> {
  const text = await (await fetch(`${base}/metrics`, { signal: AbortSignal.timeout(10_000) })).text()
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(label))
  if (lines.length === 0) throw new Error(`no ${name} at ${base}`)
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
