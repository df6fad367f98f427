// Is mining really going on, and does it arrive? Callbacks through the relay, and what the operator is told.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isCallback } from '../../src/poc/relay.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'
import { call, createFleet, type Knobs, pocInit, serve, startCollector, startEngine, startNode } from './world.ts'

const base = '/api/v1/inference/pow'

async function mine(options: { knobs?: Knobs; url?: string | null; pace?: object; instances?: number } = {}) {
  const fleet = createFleet(options.instances ?? 1)
  const node = await startNode({ fleet, pace: { stall: 400, delivery: 400, missing: 300, ...options.pace } })
  const engine = await startEngine(0, options.knobs)
  serve(fleet, engine.upstream)
  const init = await call(`${node.url}${base}/init/generate`, pocInit({ url: options.url }))
  expect(init.status).toBe(200)
  const problem = (code: string) =>
    eventually(code, () => {
      const found = node.poc.status.peek().problem
      return found?.code === code ? found : undefined
    })
  return { node, fleet, engine, problem }
}

test('an engine that says GENERATING and computes nothing is a problem', async () => {
  const { problem, engine } = await mine({ knobs: { REHEARSAL_POC_STUCK: '1' } })
  expect((await problem('poc-stalled')).evidence).toContain(
    `engine ${engine.upstream.port} says GENERATING, total_processed`,
  )
})

test('an engine that never sends its batches is a problem, with what its log says', async () => {
  const { url } = await startCollector()
  const { problem, fleet, engine } = await mine({ url, knobs: { REHEARSAL_POC_MUTE: '1' } })
  const logPath = join(await tempDir(), 'log')
  await mkdir(join(logPath, '..'), { recursive: true })
  await writeFile(
    logPath,
    `INFO fine\nERROR callback sender failed: 'CallbackSender' object has no attribute '_sign'\nINFO fine\n`,
  )
  fleet.engines.value = [
    {
      id: 'x',
      slot: 0,
      model: 'm',
      gpus: [0],
      port: engine.upstream.port,
      phase: 'serving',
      adopted: false,
      since: '',
      restarts: 0,
      logPath,
    },
  ]
  await problem('poc-no-callbacks')
  const withLog = async () => (await problem('poc-no-callbacks')).evidence.includes("no attribute '_sign'")
  expect(await eventually('the log line is shown', withLog)).toBe(true)
})

test('an API node that refuses the batches is a problem, with its answer', async () => {
  const collector = await startCollector()
  collector.answer.status = 503
  const { problem, node } = await mine({ url: collector.url })
  expect((await problem('poc-callbacks-refused')).evidence).toContain('HTTP 503 {"error":"not in phase"}')
  collector.answer.status = 200
  await eventually('it is over when the phase comes', () => node.poc.status.peek().health === 'ok')
})

test('an API node that cannot be reached is a problem', async () => {
  const { problem } = await mine({ url: `http://127.0.0.1:${await freePort()}/v2/poc-batches/m` })
  expect((await problem('poc-callbacks-unreachable')).evidence).toMatch(/ECONNREFUSED/)
})

test('a planned engine that stays away is a problem', async () => {
  const { problem } = await mine({ instances: 3 })
  expect((await problem('poc-engine-missing')).evidence).toBe(
    'groups 1, 2 of 3 have no serving engine; their nonces are not computed',
  )
})

test('an engine that stopped mining by itself is told again', async () => {
  const { node, engine } = await mine()
  await eventually('it computes', () => / [1-9]\d* nonces/.test(node.poc.parts?.value[0]?.summary ?? ''))
  const status = async () => (await call(`${engine.upstream.origin}/api/v1/pow/status`, undefined, 'GET')).body
  expect((await call(`${engine.upstream.origin}/api/v1/pow/stop`, {})).status).toBe(200)
  const seen = new Set<string | undefined>()
  await eventually('it mines again', async () => {
    seen.add(node.poc.status.peek().problem?.code)
    return seen.has('poc-generation-ended') && ((await status()) as { status: string }).status === 'GENERATING'
  })
})

test('the relay passes on bodies, signatures and answers, and knows its own tokens alone', async () => {
  const collector = await startCollector()
  const { node } = await mine({ url: null })
  await node.poc.relay.ready
  const relayed = node.poc.relay.urlFor(collector.url) ?? ''
  expect(relayed).toMatch(new RegExp(`^${node.url}${base}/callback-relay/[0-9a-f]{32}$`))
  expect(isCallback(new URL(relayed).pathname)).toBe(true)
  expect(node.poc.relay.urlFor(collector.url)).toBe(relayed)

  const post = async (url: string) => {
    const answer = await fetch(url, { method: 'POST', headers: { 'x-signature': 'feed' }, body: '{"nonces":[1]}' })
    return { status: answer.status, text: await answer.text() }
  }
  expect(await post(`${relayed}/validated`)).toEqual({ status: 200, text: '' })
  expect(collector.batches[0]).toMatchObject({ url: '/v2/poc-batches/test%252Fmodel/validated', body: { nonces: [1] } })
  expect(collector.batches[0]?.headers['x-signature']).toBe('feed')
  collector.answer.status = 503
  expect(await post(`${relayed}/generated`)).toEqual({ status: 503, text: '{"error":"not in phase"}' })
  expect(await post(`${relayed}/admin`)).toEqual({ status: 404, text: '{"detail":"Unknown relay token"}' })
  const wrong = relayed.replace(/[0-9a-f]{32}$/, '0'.repeat(32))
  expect((await post(`${wrong}/generated`)).status).toBe(404)
})

test('without the relay engines are told the address of the API node', async () => {
  const fleet = createFleet(1)
  const collector = await startCollector()
  const node = await startNode({ fleet, relay: false })
  serve(fleet, (await startEngine(0)).upstream)
  await call(`${node.url}${base}/init/generate`, pocInit({ url: collector.url }))
  await eventually('batches arrive', () => collector.batches.length > 0)
  expect(node.poc.relay.on).toBe(false)
})
