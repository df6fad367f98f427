// Runs the data path until it is compiled: the first 50 streams otherwise wait 125 ms for their first byte, and 23 ms later
// (facts/node.md). So does the first look whether an engine is ready, which takes 10 ms, and 3 ms later, while everybody waits.
// Done once after boot, against an engine of our own on loopback.
import { createServer, request, type Server } from '../core/node-http.ts'
import type { AddressInfo } from 'node:net'
import { signal } from '@preact/signals-core'
import { within } from '../core/abort.ts'
import { silentLog } from '../core/log.ts'
import { createEngineClient } from '../engine/client.ts'
import { whenReady } from '../engine/readiness.ts'
import { Upstream } from '../engine/upstream.ts'
import { createProxy } from './proxy.ts'

/** What an engine says of itself when it is ready. */
const readyAnswers: Record<string, string> = {
  '/health': '{}',
  '/v1/models': '{"data":[{"id":"warm"}]}',
  '/api/v1/pow/status': '{"status":"IDLE"}',
}

/** About 100 ms of one core, spread over event loop turns. Never throws: a cold path is slower, not wrong. */
export async function warmProxy(rounds = 40): Promise<void> {
  const engine = createServer((asked, answer) => {
    asked.resume()
    asked.once('end', () => {
      const ready = readyAnswers[asked.url ?? '']
      if (ready) return void answer.end(ready)
      answer.writeHead(200, { 'content-type': 'text/event-stream' })
      for (let at = 0; at < 10; at += 1) answer.write('data: {"choices":[{"delta":{"content":"warm"}}]}\n\n')
      answer.end('data: [DONE]\n\n')
    })
  })
  const facts = { id: 'warm', slot: 0, model: '', hasPoc: false, state: 'serving' } as const
  try {
    const upstream = new Upstream({ ...facts, port: await listen(engine) })
    const proxy = createProxy({ upstreams: signal([upstream]), log: silentLog })
    const front = createServer((asked, answer) => proxy.handle(asked, answer, '/v1/warm'))
    const port = await listen(front)
    for (let at = 0; at < rounds; at += 1) await Promise.all([ask(port), ask(port), ask(port), ask(port)])
    await warmReadiness(upstream)
    proxy.end()
    front.closeAllConnections()
    front.close()
  } catch {
    // a loopback port refused: nothing to warm with
  }
  engine.closeAllConnections()
  engine.close()
}

async function warmReadiness({ origin, port }: Upstream): Promise<void> {
  for (let at = 0; at < 3; at += 1) {
    const client = createEngineClient(origin)
    await whenReady(client, { model: 'warm', port, hasPoc: true }, within(5000))
    await client.close()
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function ask(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/warm', timeout: 2000 }, (answer) => {
      answer.resume()
      answer.once('close', resolve)
    })
    asked.once('timeout', () => asked.destroy())
    asked.once('error', reject)
    asked.end('{"warm":true}')
  })
}
