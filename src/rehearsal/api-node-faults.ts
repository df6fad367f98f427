// How the rehearsal API node misbehaves: the first fault that matches a request takes it, so often as it says.
import type { ServerResponse } from 'node:http'
import { sendJson, type Seen } from './api-node-http.ts'

export type Fault = {
  /**
   * hang: no answer. answer: `status` and `body` as JSON (default {"error":"rehearsed"}). text: the same as bare text.
   * garbage: bytes that are no HTTP. redirect: 307 to `location`. refuse: the connection is cut. slow: `delayMs` late, then as usual.
   */
  kind: 'hang' | 'answer' | 'text' | 'garbage' | 'redirect' | 'refuse' | 'slow'
  /** Only this method; every one where absent. */
  method?: string
  /** Only paths that begin so; every one where absent. */
  path?: string
  status?: number
  body?: unknown
  location?: string
  delayMs?: number
  /** How many requests it takes; all where absent. */
  times?: number
}

/** What `--fault NAME` stands for. */
export const namedFaults: Readonly<Record<string, Fault>> = {
  hang: { kind: 'hang' },
  garbage: { kind: 'garbage' },
  html: { kind: 'text', status: 200, body: '<html><body>welcome to nginx</body></html>' },
  redirect: { kind: 'redirect', location: 'http://127.0.0.1:1/elsewhere' },
  refuse: { kind: 'refuse' },
  slow: { kind: 'slow', delayMs: 3_000 },
  '500': { kind: 'answer', status: 500, body: { error: 'failed to read nodes: database is locked' } },
  '500-validation': {
    kind: 'answer',
    method: 'POST',
    status: 500,
    body: { error: 'failed to update node: validation failed: max_concurrent must be greater than 0, got 0' },
  },
  '206': { kind: 'answer', method: 'POST', status: 206, body: { nodes: [], errors: ['node[0] (id: x): rehearsed'] } },
  '400': { kind: 'answer', method: 'POST', status: 400, body: { error: 'failed to create node: rehearsed' } },
  '400-text': { kind: 'text', method: 'POST', status: 400, body: 'bad request' },
  '400-nested': {
    kind: 'answer',
    method: 'POST',
    status: 400,
    body: { error: { error: 'all nodes failed validation', errors: ['node[0] (id: x): rehearsed'] } },
  },
}

export class Faults {
  #list: { fault: Fault; left: number }[] = []

  set(faults: readonly Fault[]): void {
    this.#list = faults.map((fault) => ({ fault, left: fault.times ?? Infinity }))
  }

  /** The fault that takes this request, counted. */
  take(seen: Seen): Fault | undefined {
    const found = this.#list.find(
      ({ fault, left }) =>
        left > 0 &&
        (!fault.method || fault.method === seen.method) &&
        (!fault.path || seen.path.startsWith(fault.path)),
    )
    if (found) found.left -= 1
    return found?.fault
  }
}

/** @returns true when the request was taken and needs no other answer */
export async function playFault(fault: Fault, response: ServerResponse): Promise<boolean> {
  switch (fault.kind) {
    case 'hang':
      return true
    case 'refuse':
      response.socket?.destroy()
      return true
    case 'garbage':
      response.socket?.end('\u0000\u0001 this is not http\r\n\r\n')
      return true
    case 'redirect':
      response.writeHead(fault.status ?? 307, { location: fault.location ?? 'http://127.0.0.1:1/' }).end()
      return true
    case 'answer':
      sendJson(response, { status: fault.status ?? 500, body: fault.body ?? { error: 'rehearsed' } })
      return true
    case 'text':
      response
        .writeHead(fault.status ?? 200, { 'content-type': 'text/html' })
        .end(typeof fault.body === 'string' ? fault.body : 'rehearsed')
      return true
    case 'slow':
      await new Promise((resolve) => setTimeout(resolve, fault.delayMs ?? 1_000))
      return false
  }
}
