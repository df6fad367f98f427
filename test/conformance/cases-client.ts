// A1.10: what the models of the published client demand of every answer. The client itself runs in python-client.test.ts.
import assert from 'node:assert/strict'
import { launchStates, logsResponse } from '../../src/api/launches.ts'
import { systemStats } from '../../src/api/stats.ts'
import { type Case, needsGrpc } from './case.ts'
import { openGrpc } from './grpc-calls.ts'
import type { LaunchFacts, Target } from './target.ts'

const fields = ['launch_id', 'model', 'gpu_ids', 'task', 'state', 'created_at', 'updated_at', 'error']

/** Its models take times with a zone alone, the five states and the two tasks, and numbers where numbers are. */
function judge(found: LaunchFacts, where: string): void {
  assert.deepEqual(Object.keys(found).slice(0, fields.length), fields, where)
  assert.ok(launchStates.some((state) => state === found.state) && /^(generate|embed)$/.test(found.task), where)
  for (const time of [found.created_at, found.updated_at]) {
    assert.match(time, /(Z|[+-]\d\d:\d\d)$/, where)
    assert.ok(!Number.isNaN(Date.parse(time)), where)
  }
  assert.ok(found.gpu_ids.every(Number.isInteger), where)
  assert.ok(found.error === null || typeof found.error === 'string', where)
}

export const clientCases: Case[] = [
  {
    of: 'A1.10',
    title: 'every answer about a launch has what the client reads, in each of its states',
    async run(target) {
      const made = await target.launch({ model: target.model, gpu_ids: [target.gpus[0]], task: 'generate' })
      judge(made, 'POST /launch')
      const { launch_id: id } = made
      judge(await target.until(id, 'ready'), 'GET /status, ready')
      const list = (await target.call('GET', '/launch')).json as LaunchFacts[]
      for (const one of list) judge(one, 'GET /launch')
      judge((await target.call('POST', `/stop/${id}`)).json as LaunchFacts, 'POST /stop')
      judge(await target.until(id, 'stopped'), 'GET /status, stopped')
      logsResponse.strict().parse((await target.call('GET', `/logs/${id}?offset=0`)).json)
      const bad = await target.launch({ model: target.badModel, gpu_ids: [target.gpus[0]], task: 'embed' })
      judge(await target.until(bad.launch_id, 'failed'), 'GET /status, failed')
    },
  },
  {
    of: 'A1.10',
    title: 'stats has what the client reads: a time with a zone, whole numbers, and null for what is not known',
    async run(target) {
      const found = systemStats.parse((await target.call('GET', '/stats')).json)
      assert.match(found.collected_at, /(Z|[+-]\d\d:\d\d)$/)
    },
  },
  {
    of: 'A1.10',
    title: 'gRPC is at the port after that of REST, where the client looks for it without grpc_address',
    lacks: (target) => needsGrpc(target) ?? judgeDerived(target),
    async run(target) {
      const calls = openGrpc(toDerived(target.url))
      try {
        const { code } = await calls.ask('Complete', {}, { metadata: target.metadata() })
        assert.equal(code, 'INVALID_ARGUMENT')
      } finally {
        calls.close()
      }
    },
  },
]

/** As the client derives it: a URL without a port has 8000, whatever its scheme. */
function toDerived(url: string): string {
  const [, host = '', port = '8000'] = /^\w+:\/\/(.*?)(?::(\d+))?\/*$/.exec(url) ?? []
  return `${host}:${Number(port) + 1}`
}

function judgeDerived({ url, grpc = '' }: Target): string | undefined {
  const derived = toDerived(url)
  const isThere = grpc.split(':').at(-1) === derived.split(':').at(-1)
  return isThere ? undefined : `gRPC is at ${grpc}, not at ${derived}: clients must be told`
}
