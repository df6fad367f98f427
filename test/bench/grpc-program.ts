// The gRPC listener alone in a process, the launches `bench` and `bench-embed` on the engine at the port of its argument; tells its CPU time and
// memory when asked by a line.
import { createInterface } from 'node:readline'
import { silentLog } from '../../src/core/log.ts'
import { Upstream } from '../../src/engine/upstream.ts'
import { startGrpc } from '../../src/grpc/start-grpc.ts'
import { createLaunches, onLoopback, openToAll } from '../grpc/launches.ts'

const facts = { id: 'bench', slot: 0, model: 'tiny', hasPoc: false, state: 'serving' } as const
const upstream = new Upstream({ ...facts, port: Number(process.argv[2]) })
const listener = startGrpc({
  launches: createLaunches([
    { launch_id: 'bench', upstreams: [upstream] },
    { launch_id: 'bench-embed', task: 'embed', upstreams: [upstream] },
  ]),
  access: openToAll,
  config: onLoopback,
  log: silentLog,
  drainMs: 0,
})
while (!listener.address.value) await new Promise((resolve) => setTimeout(resolve, 5))
process.stdout.write(`${listener.address.value.port}\n`)
const asks = createInterface({ input: process.stdin })
asks.on('line', () => {
  const { user, system } = process.cpuUsage()
  const { rss } = process.memoryUsage()
  process.stdout.write(`${JSON.stringify({ cpu: user + system, rss })}\n`)
})
// Whoever started us is gone.
asks.on('close', () => process.exit(0))
