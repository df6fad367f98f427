import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createEngineClient } from '../../src/engine/client.ts'
import { whenStuck } from '../../src/engine/hang-watch.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { eventually } from '../support/eventually.ts'

const idle = 'vllm:num_requests_running{} 0\nvllm:num_requests_waiting{} 0\nvllm:generation_tokens_total{} 7\n'

/** An engine with nothing to do, looked at every 50 ms. */
async function startWatched() {
  const seen = { connections: 0, metrics: 0 }
  const server = createServer((_, answer) => {
    seen.metrics += 1
    answer.end(idle)
  })
  server.on('connection', () => (seen.connections += 1))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const upstream = new Upstream({ id: 'one', slot: 0, port, model: 'm', hasPoc: false, state: 'serving' })
  const client = createEngineClient(upstream.origin)
  const over = new AbortController()
  const watch = { client, upstream, profile: 'stock', hasPoc: false, grace: 400 } as const
  const stuck = whenStuck(watch, over.signal).catch(() => undefined)
  onTestFinished(async () => {
    over.abort()
    await client.close()
    close(server)
  })
  return { seen, server, upstream, stuck }
}

function close(server: Server): void {
  server.closeAllConnections()
  server.close()
}

test('of three looks at an engine that has nothing to do, one asks it and two see that it listens', async () => {
  const { seen, upstream } = await startWatched()
  await eventually('many looks', () => seen.metrics >= 5)
  // An answer keeps its connection for later ones; a look that only connects is one more each.
  expect(seen.connections).toBeGreaterThanOrEqual(8)
  // Who begins something is asked about with each look.
  const open = upstream.begin()
  const before = { ...seen }
  await eventually('asked again and again', () => seen.metrics >= before.metrics + 4)
  expect(seen.connections - before.connections).toBeLessThanOrEqual(3)
  open[Symbol.dispose]()
})

test('an idle engine that refuses connections is told, whichever look is due', async () => {
  const { seen, server, stuck } = await startWatched()
  await eventually('seen idle', () => seen.metrics >= 1)
  close(server)
  expect(await stuck).toMatchObject({ code: 'engine-refuses' })
})
