// The launch service with real engines: two at the same time, asked over gRPC, guided, stopped and killed; and one that embeds.
// The tests are one story and run in order: a load costs a minute.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listProcesses } from '../../src/core/proc.ts'
import { connect, type LaunchClient } from '../../src/client/connect.ts'
import type { OwnLaunch } from '../../src/client/launch.ts'
import { eventually } from '../support/eventually.ts'
import { describeWith } from '../support/real.ts'
import { provideVllm } from './real-vllm.ts'
import {
  isAlive,
  loadPatience,
  modelName,
  pickProcess,
  type Seen,
  seeProcesses,
  startVllmWorld,
  type VllmWorld,
} from './vllm-world.ts'

const found = await provideVllm()

/** No model of the node's own, and nobody who orders one. */
const alone = { MODEL_NAME: '', API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '' }

/** What two cores can bear. */
const small = { load_format: 'dummy', dtype: 'bfloat16', max_model_len: 256, max_num_seqs: 4, enforce_eager: true }

describeWith('launches of a real vLLM', found, (vllm) => {
  const story: { world?: VllmWorld; client?: LaunchClient; one?: OwnLaunch; other?: OwnLaunch } = {}
  const client = () => story.client!
  const start = (gpu: number, more: object = {}) =>
    client().launch({ model: modelName, gpuIds: [gpu], extraKwargs: small, ...more })
  const untilReady = (launch: OwnLaunch) => launch.untilReady({ timeout: loadPatience })
  /** Everything of the engine, found by the port that the daemon's log tells. */
  const see = (launch: OwnLaunch): Seen[] => {
    const gpus = JSON.stringify(launch.snapshot.gpu_ids)
    const port = story.world!.findLog('engine starts', `"gpus":${gpus}`).at(-1)?.['port']
    const all = listProcesses().flatMap(({ pid }) => pickProcess(seeProcesses(pid), `--port ${String(port)}`) ?? [])
    const first = all[0]
    if (!first) throw new Error(`no process of an engine with GPUs ${gpus} at port ${String(port)}`)
    return seeProcesses(first.pid)
  }

  beforeAll(async () => {
    // Two places for engines on a machine without GPUs.
    story.world = await startVllmWorld(vllm, { ...alone, CUDA_VISIBLE_DEVICES: '0,1' })
    const { control, grpc } = story.world.ports
    story.client = connect({ baseUrl: `http://127.0.0.1:${control}`, grpcAddress: `127.0.0.1:${grpc}` })
    await eventually('it listens', async () => (await client().launches()).length === 0, 60_000)
  })
  afterAll(async () => {
    story.client?.close()
    await story.world?.end()
  })

  test('two engines load at the same time and tell how far they are', async () => {
    story.one = await start(0)
    story.other = await start(1)
    const stages = new Set<string>()
    await Promise.all([
      story.one.untilReady({
        timeout: loadPatience,
        onChange: ({ progress }) => progress?.stage !== undefined && stages.add(progress.stage),
      }),
      untilReady(story.other),
    ])
    expect(stages.size).toBeGreaterThan(1)
    expect((await client().launches()).map(({ state, gpu_ids }) => [state, gpu_ids])).toEqual([
      ['ready', [0]],
      ['ready', [1]],
    ])
  })

  test('prompts are completed in their order, with the tokens of each', async () => {
    const prompts = ['once upon a time', 'b', 'see you']
    const whole = await story.one!.complete(prompts, { maxTokens: 8, temperature: 0 })
    expect(whole.map(({ completionTokens }) => completionTokens)).toEqual([8, 8, 8])
    expect(whole[0]!.promptTokens).toBeGreaterThan(whole[1]!.promptTokens)
    const streamed = await collect(story.other!.completeStream(prompts, { maxTokens: 8, temperature: 0 }))
    expect(streamed).toEqual(whole)
    const tokens = await collect(story.one!.tokens('once upon a time', { maxTokens: 8, temperature: 0 }))
    expect(tokens.length).toBeGreaterThan(3)
    expect(tokens.map(({ text }) => text).join('')).toBe(whole[0]!.text)
  })

  test('a guided answer is one of the choices, matches the pattern, and is JSON of the schema', async () => {
    const ask = async (guided: NonNullable<Parameters<OwnLaunch['complete']>[1]>['guided'] & object) =>
      (await story.one!.complete(['answer:'], { maxTokens: 64, guided }))[0]!.text
    expect(['yes', 'no']).toContain(await ask({ choice: ['yes', 'no'] }))
    expect(await ask({ regex: '[0-9]{3}' })).toMatch(/^\d{3}$/)
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    }
    expect(JSON.parse(await ask({ jsonSchema: schema }))).toEqual({ ok: expect.any(Boolean) })
    expect(await ask({ grammar: 'root ::= "left" | "right"' })).toMatch(/^(left|right)$/)
  })

  test('one that is stopped leaves no process, and the other one serves on', async () => {
    const seen = see(story.one!)
    expect((await story.one!.stop()).state).toBe('stopped')
    expect(seen.filter(isAlive)).toEqual([])
    expect(await story.other!.complete(['a'], { maxTokens: 2 })).toHaveLength(1)
  })

  test('one whose core is killed has failed, says why, and its GPU is free for one that embeds', async () => {
    const seen = see(story.other!)
    const core = seen.find(({ command }) => command.includes('EngineCore'))
    process.kill(core!.pid, 'SIGKILL')
    const ended = await eventually(
      'it has failed',
      async () => {
        const now = await story.other!.status()
        return now.state === 'failed' ? now : undefined
      },
      60_000,
    )
    expect(ended.diagnosis?.code).toMatch(/^(vllm|engine)-/)
    expect(seen.filter(isAlive)).toEqual([])
    await using embedding = await start(1, { task: 'embed' })
    await untilReady(embedding)
    const [first, second] = await embedding.embed(['one text', 'another text'])
    expect(first!.length).toBeGreaterThan(8)
    expect(second).toHaveLength(first!.length)
    await expect(embedding.complete(['a'])).rejects.toThrow(/has task 'embed', expected 'generate'/)
  })
})

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const value of values) found.push(value)
  return found
}
