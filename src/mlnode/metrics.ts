// What the network may know of this node (contracts/node-api.md 1.10): a fixed list of vLLM's families, each engine as a
// `replica`, and a few of our own. No address, port, path or host name. An engine that does not answer ages by its timestamp.
import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { within } from '../core/abort.ts'
import { request } from '../core/http-client.ts'
import type { Upstream } from '../engine/upstream.ts'
import { type CpuTimes, judgeCpu, parseCpuTimes } from './metrics-cpu.ts'
import { relabelFamilies, renderFamilies, type Series, toConfigLabels } from './metrics-text.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail } from './edge.ts'

/** The API node gives 5 s, the whole scrape has 2.5 s, a stage one. */
const stageBound = 1000

export function addMetrics(app: FastifyInstance, deps: MlnodeDeps): void {
  const { fleet, version, launched, clock } = deps
  /** Unix seconds of each replica's last good scrape. */
  const scrapedAt = new Map<number, number>()
  let cpuBefore: CpuTimes | undefined

  async function readReplica(upstream: Upstream): Promise<Series[]> {
    const text = await readMetrics(upstream).catch(() => undefined)
    if (text === undefined) return []
    scrapedAt.set(upstream.slot, clock.wall() / 1000)
    return relabelFamilies(text, { replica: upstream.slot, model: upstream.model })
  }

  async function readCpu(): Promise<Series[]> {
    const now = await readFile('/proc/stat', 'utf8').then(parseCpuTimes, () => undefined)
    const ratios = cpuBefore && now ? judgeCpu(cpuBefore, now) : undefined
    cpuBefore = now
    if (!ratios) return []
    return [gauge('mlnode_host_cpu_busy_ratio', ratios.busy), gauge('mlnode_host_cpu_steal_ratio', ratios.steal)]
  }

  app.get('/api/v1/metrics', async (_request, reply) => {
    if (deps.metrics === 'off') throw new Detail(404, 'Not Found')
    const serving = fleet.upstreams.peek().filter((one) => one.state.peek() === 'serving')
    const [replicas, cpu] = await Promise.all([Promise.all(serving.map(readReplica)), readCpu()])
    const planned = fleet.planned.peek()
    const config = planned && launched()
    const own = [
      gauge('gonka_metrics_schema_info', 1, { version: '1' }),
      gauge('mlnode_version_info', 1, { version }),
      ...(planned && config ? [gauge('mlnode_config_info', 1, toConfigLabels(planned, config))] : []),
      ...[...scrapedAt].map(([replica, at]) =>
        gauge('mlnode_source_scrape_timestamp_seconds', at, { source: 'vllm', replica: String(replica) }),
      ),
      ...cpu,
    ]
    return reply.type('text/plain; version=0.0.4').send(renderFamilies([...replicas.flat(), ...own]))
  })
}

const gauge = (family: string, value: number, labels: Record<string, string> = {}): Series => ({
  family,
  name: family,
  type: 'gauge',
  labels,
  value: String(value),
})

async function readMetrics({ origin }: Upstream): Promise<string> {
  const answer = await request(`${origin}/metrics`, { signal: within(stageBound) })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}`)
  return text
}
