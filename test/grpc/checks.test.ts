import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import type { Upstream } from '../../src/engine/upstream.ts'
import { eventually } from '../support/eventually.ts'
import {
  type Asked,
  call,
  createUpstream,
  type FakeLaunch,
  type Method,
  prompts,
  sendCompletion,
  sendJson,
  startFront,
  startJsonEngine,
} from './support.ts'

const streams = (method: Method) => method.endsWith('Stream')
const toRequest = (method: Method, launchId: string, list: readonly string[]) =>
  method.startsWith('Embed') ? { launch_id: launchId, texts: list } : { launch_id: launchId, prompts: list }

async function startWorld(upstreams: readonly Upstream[] = []) {
  const launches: FakeLaunch[] = [
    { launch_id: 'gen', task: 'generate', upstreams },
    { launch_id: 'emb', task: 'embed', upstreams },
    { launch_id: 'boot', state: 'bootstrapping' },
    { launch_id: 'stopping', state: 'stopping' },
    { launch_id: 'stopped', state: 'stopped' },
    { launch_id: 'failed', state: 'failed', task: 'embed' },
  ]
  const access = {
    judge: (given: string | undefined) =>
      (given === 'Bearer k' ? 'ok' : given === 'guess' ? 'limited' : 'unauthorized') as 'ok',
    waitFor: () => 7,
  }
  return startFront(launches, { access })
}

const methods = ['Complete', 'CompleteStream', 'Embed', 'EmbedStream', 'TokenStream'] as const

test.each(methods)('%s checks in the order of the contract, with its codes and words', async (method) => {
  const { client } = await startWorld()
  const isEmbed = method.startsWith('Embed')
  const own = isEmbed ? 'emb' : 'gen'
  const [task, other] = isEmbed ? ['embed', 'generate'] : ['generate', 'embed']
  const wrong = isEmbed ? 'gen' : 'emb'
  const key = { authorization: 'Bearer k' }
  const rows: [string, readonly string[], Record<string, string>, status, string][] = [
    ['nobody', [], {}, status.UNAUTHENTICATED, 'Invalid or missing access key'],
    [own, ['a'], { authorization: 'Bearer x' }, status.UNAUTHENTICATED, 'Invalid or missing access key'],
    [
      own,
      ['a'],
      { authorization: 'guess' },
      status.RESOURCE_EXHAUSTED,
      'Too many attempts with a wrong access key, try again in 7 s',
    ],
    ['nobody', [], key, status.INVALID_ARGUMENT, `${isEmbed ? 'texts' : 'prompts'} must not be empty`],
    ['boot', [], key, status.INVALID_ARGUMENT, `${isEmbed ? 'texts' : 'prompts'} must not be empty`],
    ['nobody', ['a'], key, status.NOT_FOUND, 'Unknown launch_id: nobody'],
    ['', ['a'], key, status.NOT_FOUND, 'Unknown launch_id: '],
    ['boot', ['a'], key, status.FAILED_PRECONDITION, 'Launch boot is not ready (state=bootstrapping)'],
    ['stopping', ['a'], key, status.FAILED_PRECONDITION, 'Launch stopping is not ready (state=stopping)'],
    ['stopped', ['a'], key, status.FAILED_PRECONDITION, 'Launch stopped is not ready (state=stopped)'],
    ['failed', ['a'], key, status.FAILED_PRECONDITION, 'Launch failed is not ready (state=failed)'],
    [wrong, ['a'], key, status.FAILED_PRECONDITION, `Launch ${wrong} has task '${other}', expected '${task}'`],
    // Ready, and no engine behind it any more.
    [own, ['a'], key, status.FAILED_PRECONDITION, `Launch ${own} subprocess crashed`],
  ]
  for (const [launch, list, metadata, code, details] of rows) {
    const outcome = await call(client, method, toRequest(method, launch, list), { metadata }).outcome
    expect({ launch, ...outcome }).toEqual({ launch, messages: [], code, details })
  }
})

test('an engine that is gone, or dies during the call, is a crashed launch', async () => {
  const dead = createUpstream(1)
  const dying = await startJsonEngine(({ response }) => response.destroy())
  const broken = await startJsonEngine(({ response }) =>
    sendJson(response, { error: { message: 'EngineCore encountered an issue. See stack trace', code: 500 } }, 500),
  )
  for (const upstream of [dead, dying, broken]) {
    const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
    for (const method of ['Complete', 'CompleteStream'] as const) {
      const { code, details } = await call(client, method, { launch_id: 'l', prompts: ['a'] }).outcome
      expect({ code, details }).toEqual({ code: status.FAILED_PRECONDITION, details: 'Launch l subprocess crashed' })
    }
  }
})

test.each(['CompleteStream', 'TokenStream'] as const)(
  'an engine that dies in the middle of a %s: what came before is delivered, then the launch has crashed',
  async (method) => {
    const held: Asked[] = []
    const gone = { is: false }
    const upstream = await startJsonEngine((asked) => {
      const { body, response } = asked
      if (gone.is) return response.destroy()
      if (!['p0', 'p1', 'p2'].includes(String(body['prompt']))) return void held.push(asked)
      if (body['stream'] !== true) return sendCompletion(asked)
      const event = { choices: [{ text: `re: ${String(body['prompt'])}`, finish_reason: 'stop' }], usage: {} }
      response.writeHead(200).end(`data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`)
    })
    const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
    const { messages, outcome } = call(client, method, { launch_id: 'l', prompts: prompts(10) })
    await eventually('three of ten', () => messages.length === 3 && held.length === 7)
    gone.is = true
    for (const { response } of held) response.destroy()
    const { code, details } = await outcome
    expect({ code, details }).toEqual({ code: status.FAILED_PRECONDITION, details: 'Launch l subprocess crashed' })
    expect(new Set(messages.map(({ text }) => text))).toEqual(new Set(['re: p0', 're: p1', 're: p2']))
    await eventually('no turn to be open', () => upstream.inFlight === 0)
  },
)

test('a prompt whose engine broke off goes to another engine of the launch', async () => {
  const dying = await startJsonEngine(({ response }) => response.destroy())
  const living = await startJsonEngine((asked) => sendCompletion(asked))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [dying, living] }])
  const list = Array.from({ length: 20 }, (_, at) => `p${at}`)
  const { messages, code } = await call<{ completions: { text: string }[] }>(client, 'Complete', {
    launch_id: 'l',
    prompts: list,
  }).outcome
  expect(code).toBe(status.OK)
  expect(messages[0]?.completions.map(({ text }) => text)).toEqual(list.map((prompt) => `re: ${prompt}`))
})

test.each([
  [{ error: { message: 'too long', code: 400 } }, 400, 'too long'],
  [{ object: 'error', message: 'flat', code: 400 }, 400, 'flat'],
  [{ detail: 'Not Found' }, 404, 'Not Found'],
  [{ error: 'poc_generation_active', retry_after_ms: 1000 }, 503, 'poc_generation_active'],
  [{ choices: [] }, 200, 'the engine answered without a text'],
  [[], 200, 'the engine answered without a text'],
  [{ error: { message: 'x'.repeat(5000) } }, 400, `${'x'.repeat(982)}…`],
  [{ error: { message: 'half \ud83d of a smile' } }, 400, 'half \ufffd of a smile'],
])('what an engine refuses is INTERNAL with its own words: %j', async (body, code, words) => {
  const upstream = await startJsonEngine(({ response }) => sendJson(response, body, code))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  for (const [method, failed] of [
    ['Complete', 'Generation failed'],
    ['CompleteStream', 'Generation stream failed'],
  ] as const) {
    const outcome = await call(client, method, { launch_id: 'l', prompts: ['a'] }).outcome
    expect(outcome.code).toBe(status.INTERNAL)
    expect(outcome.details.slice(0, 60)).toBe(`${failed}: ${words}`.slice(0, 60))
    expect(outcome.details.length).toBeLessThanOrEqual(1001)
  }
})

test('an embedding that is none is INTERNAL with the word of its method', async () => {
  const upstream = await startJsonEngine(({ response }) => sendJson(response, { data: [{}] }))
  const { client } = await startFront([{ launch_id: 'l', task: 'embed', upstreams: [upstream] }])
  for (const [method, failed] of [
    ['Embed', 'Embedding failed'],
    ['EmbedStream', 'Embedding stream failed'],
  ] as const) {
    const { code, details } = await call(client, method, { launch_id: 'l', texts: ['a'] }).outcome
    expect({ code, details }).toEqual({
      code: status.INTERNAL,
      details: `${failed}: the engine answered without an embedding`,
    })
    expect(streams(method)).toBe(method === 'EmbedStream')
  }
})
