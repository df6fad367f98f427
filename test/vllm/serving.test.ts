// The whole daemon around a real vLLM, from the first stage of its load to the end of everything. The tests are one story and
// run in order: a load costs a minute, so all of them share three.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readProcStat } from '../../src/core/proc.ts'
import type { EngineView } from '../../src/fleet/fleet.ts'
import { eventually } from '../support/eventually.ts'
import { describeWith } from '../support/real.ts'
import { provideVllm } from './real-vllm.ts'
import { beginStream, chatBody, post, readMetric, streamChat } from './requests.ts'
import {
  isAlive,
  modelName,
  pickProcess,
  type Seen,
  seeProcesses,
  seeSession,
  seeSegments,
  startVllmWorld,
  type VllmWorld,
} from './vllm-world.ts'

const found = await provideVllm()

describeWith('the daemon with a real vLLM', found, (vllm) => {
  const story: { world?: VllmWorld } = {}
  const world = () => story.world!
  const local = (name: 'node' | 'inference' | 'control') => `http://127.0.0.1:${world().ports[name]}`
  const remote = (name: 'node' | 'inference') => `http://127.0.0.1:${world().remote[name]}`
  const serving = () => world().untilPhase('serving')

  beforeAll(async () => {
    story.world = await startVllmWorld(vllm)
  })
  afterAll(async () => {
    await story.world?.end()
  })

  test('its profile is found, and it is adopted by the next daemon while it still loads', async () => {
    const before = await untilCoreLives(world())
    process.kill(world().daemon.pid()!, 'SIGKILL')
    const stages = new Set<string>()
    let announced: number | undefined
    const view = await eventually(
      'the engine is adopted and serves',
      async () => {
        const now = await world().engine()
        if (now?.stage) stages.add(now.stage)
        const said = now?.logPath !== undefined && readFileSync(now.logPath, 'utf8').includes('startup complete.')
        if (said) announced ??= Date.now()
        return now?.adopted && now.phase === 'serving' && now
      },
      300_000,
    )
    const [noticed] = world().findLog('engine phase', '"serving"')
    // Some 10 ms where the machine has time; here two cores carry vLLM, the daemon and its world.
    expect(Date.parse(String(noticed?.['time'])) - announced!).toBeLessThan(1500)
    expect(view).toMatchObject({ pid: before.pid, restarts: 0, model: modelName })
    expect(before.seen.filter((one) => !isAlive(one))).toEqual([])
    expect(stages.size).toBeGreaterThanOrEqual(2)
  })

  test('the API node is told, its broker sees INFERENCE and orders nothing', async () => {
    const { apiNode } = world()
    const polls = () =>
      apiNode.world.calls.filter(({ path, status }) => path.endsWith('/api/v1/state') && status === 200)
    await eventually('registered', () => apiNode.world.nodes.size === 1, 30_000)
    const [entry] = apiNode.world.nodes.values()
    await eventually('seen as INFERENCE', () => entry?.state.current_status === 'INFERENCE', 30_000)
    const first = polls().length
    await eventually('three more polls', () => polls().length >= first + 3, 30_000)
    expect(entry?.state).toMatchObject({ current_status: 'INFERENCE', failure_reason: '' })
    expect(Object.keys(entry?.node.models ?? {})).toEqual([modelName])
    expect(apiNode.world.calls.filter(({ path }) => /\/(stop|up|down)$/.test(path) && !/pow/.test(path))).toEqual([])
    expect(await world().engine()).toMatchObject({ restarts: 0 })
  })

  test('a streamed chat comes through every listener and through both ports of the tunnel', async () => {
    const bases = [local('inference'), local('node'), local('control'), remote('inference'), remote('node')]
    for (const base of [...bases, `${remote('inference')}/v3.0.8`]) {
      const { status, type, events } = await streamChat(base, modelName)
      expect({ base, status, type }).toEqual({ base, status: 200, type: expect.stringMatching(/^text\/event-stream/) })
      expect(events.at(-1)).toBe('[DONE]')
      // One event a token, 32 of them, and not a single block at the end.
      expect(events.length).toBeGreaterThan(20)
      expect(JSON.parse(events[0]!)).toMatchObject({ object: 'chat.completion.chunk', model: modelName })
    }
  })

  test('the smoke test of the gateway passes: health, the id of the first model, a chat with content', async () => {
    const health = await fetch(`${local('control')}/healthz`)
    expect(health.status).toBe(200)
    const models = (await (await fetch(`${local('control')}/v1/models`)).json()) as { data: { id: string }[] }
    expect(models.data.map(({ id }) => id)).toEqual([modelName])
    const chat = await post(`${local('control')}/v1/chat/completions`, chatBody(models.data[0]!.id))
    expect(chat.status).toBe(200)
    const answer = (await chat.json()) as { choices: { message: { content: string } }[] }
    expect(answer.choices[0]?.message.content.length).toBeGreaterThan(0)
  })

  test('its counters are merged into /metrics of the inference listener', async () => {
    const view = await serving()
    expect(await readMetric(local('inference'), 'vllm:generation_tokens_total')).toBe(
      await readMetric(`http://127.0.0.1:${view.port}`, 'vllm:generation_tokens_total'),
    )
    expect(await readMetric(remote('inference'), 'vllm:generation_tokens_total')).toBeGreaterThan(6 * 32)
  })

  test('a client that goes away is taken off the engine', async () => {
    const engine = `http://127.0.0.1:${(await serving()).port}`
    const running = () => readMetric(engine, 'vllm:num_requests_running')
    const made = () => readMetric(engine, 'vllm:generation_tokens_total')
    const before = await made()
    const stream = await beginStream(remote('inference'), modelName)
    expect(await running()).toBe(1)
    stream.abort()
    await eventually('nothing runs', async () => (await running()) === 0)
    // It was asked for 200; vLLM counts aborted requests nowhere else.
    expect((await made()) - before).toBeLessThan(200)
  })

  test('a daemon killed amid a stream costs the stream alone: the next one adopts the engine', async () => {
    const before = await serving()
    const seen = seeProcesses(before.pid!)
    const stream = await beginStream(local('inference'), modelName)
    process.kill(world().daemon.pid()!, 'SIGKILL')
    await expect(stream.rest()).rejects.toThrow('terminated')
    const after = await eventually('the engine is adopted', async () => {
      const view = await world().engine()
      return view?.phase === 'serving' && view
    })
    expect(after).toMatchObject({ id: before.id, pid: before.pid, port: before.port, adopted: true, restarts: 0 })
    expect(seen.filter((one) => !isAlive(one))).toEqual([])
    expect((await streamChat(local('inference'), modelName)).events.at(-1)).toBe('[DONE]')
  })

  test('after kill -9 of its EngineCore nothing of it is left, and one that replaces it serves', async () => {
    const old = await look(world())
    process.kill(pickProcess(old.seen, 'VLLM::EngineCore')!.pid, 'SIGKILL')
    await eventually('another engine', async () => (await world().engine())?.id !== old.view.id, 120_000)
    await expectGone(old)
    const view = await serving()
    expect(view).toMatchObject({ restarts: 1, adopted: false })
    expect(world().findLog('engine starts')).toHaveLength(2)
    expect((await streamChat(remote('inference'), modelName)).events.at(-1)).toBe('[DONE]')
  })

  test('after kill -9 of its API server no orphan is left', async () => {
    const old = await look(world())
    process.kill(pickProcess(old.seen, 'openai.api_server')!.pid, 'SIGKILL')
    await eventually('another engine', async () => (await world().engine())?.id !== old.view.id, 120_000)
    await expectGone(old)
  })

  test('a stop ends an engine that still loads, with all that belongs to it', async () => {
    const { session, seen } = await untilCoreLives(world())
    const segments = await seeSegments(seen)
    const began = performance.now()
    await world().daemon.stop()
    expect(await world().daemon.ended).toBe(0)
    expect(performance.now() - began).toBeLessThan(60_000)
    await expectGone({ seen: [...seen, ...seeSession(session)], segments })
    await expect(fetch(`${local('node')}/api/v1/state`)).rejects.toThrow('fetch failed')
  })
})

type Looked = { view: EngineView; seen: Seen[]; segments: string[] }

/** All of a serving engine: API server, EngineCore, worker and resource tracker, and two segments of shared memory. */
async function look(world: VllmWorld): Promise<Looked> {
  const view = await world.untilPhase('serving')
  const seen = seeProcesses(view.pid!)
  const segments = await seeSegments(seen)
  for (const part of ['openai.api_server', 'VLLM::EngineCore', 'VLLM::Worker', 'resource_tracker'])
    expect(pickProcess(seen, part), `a process ${part}`).toBeDefined()
  expect(segments.filter((name) => name.startsWith('psm_')).length).toBeGreaterThan(0)
  return { view, seen, segments }
}

/** The moment from which vLLM ignores SIGTERM until it serves (facts: EngineCore is started, the API server waits for it). */
async function untilCoreLives(world: VllmWorld): Promise<{ pid: number; session: number; seen: Seen[] }> {
  return eventually(
    'EngineCore lives while the engine loads',
    async () => {
      const view = await world.engine()
      if (view?.phase !== 'loading' || view.pid === undefined) return undefined
      const seen = seeProcesses(view.pid)
      const session = readProcStat(view.pid)?.session
      const core = pickProcess(seen, 'VLLM::EngineCore')
      return core && session !== undefined ? { pid: view.pid, session, seen } : undefined
    },
    120_000,
  )
}

async function expectGone({ seen, segments }: { seen: readonly Seen[]; segments: readonly string[] }): Promise<void> {
  await eventually('no process of it is left', () => !seen.some(isAlive))
  expect(segments.filter((name) => existsSync(join('/dev/shm', name)))).toEqual([])
}
