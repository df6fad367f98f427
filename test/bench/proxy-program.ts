// The proxy alone in a process, in front of the port of its argument; tells its own CPU time and memory when asked by a line.
import { createInterface } from 'node:readline'
import { signal } from '@preact/signals-core'
import { silentLog } from '../../src/core/log.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { startListener } from '../../src/http/listener.ts'
import { createInferenceApp } from '../../src/proxy/inference-app.ts'
import { createProxy } from '../../src/proxy/proxy.ts'
import { warmProxy } from '../../src/proxy/warm.ts'

const facts = { id: 'bench', slot: 0, model: 'tiny', hasPoc: false, state: 'serving' } as const
const upstreams = signal([new Upstream({ ...facts, port: Number(process.argv[2]) })])
const proxy = createProxy({ upstreams, log: silentLog })
const onRequest = createInferenceApp({ upstreams, proxy: proxy.handle })
const listener = startListener({ name: 'bench', host: '127.0.0.1', port: 0, onRequest, log: silentLog })
await warmProxy()
while (!listener.address.value) await new Promise((resolve) => setTimeout(resolve, 5))
process.stdout.write(`${listener.address.value.port}\n`)
const asks = createInterface({ input: process.stdin })
asks.on('line', () => {
  const { user, system } = process.cpuUsage()
  process.stdout.write(`${JSON.stringify({ cpu: user + system, rss: process.memoryUsage().rss })}\n`)
})
// Whoever started us is gone.
asks.on('close', () => process.exit(0))
