// What comes back: every prompt in its place, whichever is done first, with its own counts; constraints in the engine's spelling.
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type Asked, call, prompts, sendCompletion, sendJson, startFront, startJsonEngine } from './support.ts'

type Completion = { text: string; prompt_tokens: number; completion_tokens: number }

test('a batch is answered in the order of its prompts with the counts of each, whatever order the engine takes', async () => {
  const waiting: Asked[] = []
  const upstream = await startJsonEngine((asked) => {
    waiting.push(asked)
    // Answered backwards, in packs.
    if (waiting.length % 10 === 0) for (const one of waiting.splice(0).reverse()) sendCompletion(one)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const list = prompts(100)
  const expected = list.map((prompt) => ({
    text: `re: ${prompt}`,
    prompt_tokens: prompt.length,
    completion_tokens: prompt.length + 4,
  }))
  const whole = await call<{ completions: Completion[] }>(client, 'Complete', { launch_id: 'l', prompts: list }).outcome
  expect(whole).toEqual({ code: status.OK, details: 'OK', messages: [{ completions: expected }] })
  const streamed = await call(client, 'CompleteStream', { launch_id: 'l', prompts: list }).outcome
  expect(streamed).toEqual({ code: status.OK, details: 'OK', messages: expected })
})

test('a stream sends each prompt as soon as it and those before it are done', async () => {
  const held: Asked[] = []
  const upstream = await startJsonEngine((asked) => {
    if (asked.body['prompt'] === 'p1') held.push(asked)
    else sendCompletion(asked)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const { messages, outcome } = call<Completion>(client, 'CompleteStream', { launch_id: 'l', prompts: prompts(3) })
  await eventually('the first, while the second is computed', () => messages.length === 1 && held.length === 1)
  expect(messages.map(({ text }) => text)).toEqual(['re: p0'])
  sendCompletion(held[0] as Asked)
  expect((await outcome).messages).toHaveLength(3)
})

test('embeddings come as the floats of the engine, whole and streamed', async () => {
  const upstream = await startJsonEngine(({ body, path, response }) => {
    expect({ path, format: body['encoding_format'] }).toEqual({ path: '/v1/embeddings', format: 'float' })
    const size = Number(String(body['input']).slice(1))
    const embedding = Array.from({ length: size }, (_, at) => at + 0.5)
    sendJson(response, { data: [{ index: 0, embedding }], usage: { prompt_tokens: 1 } })
  })
  const { client } = await startFront([{ launch_id: 'l', task: 'embed', upstreams: [upstream] }])
  const texts = ['x0', 'x1', 'x300', 'x4096']
  const whole = await call<{ embeddings: { values: number[] }[] }>(client, 'Embed', { launch_id: 'l', texts }).outcome
  const values = whole.messages[0]?.embeddings.map((one) => one.values) ?? []
  expect(values.map(({ length }) => length)).toEqual([0, 1, 300, 4096])
  expect(values[2]?.slice(0, 3)).toEqual([0.5, 1.5, 2.5])
  expect(values[3]?.at(-1)).toBe(4095.5)
  const streamed = await call(client, 'EmbedStream', { launch_id: 'l', texts }).outcome
  expect(streamed.messages).toEqual(whole.messages[0]?.embeddings)
})

const plain = { model: 'tiny', temperature: 1, top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1, prompt: 'p0' }
const guided = (more: object) => ({ guided_decoding: more })

test.each([
  ['nothing but prompts', '0.9.1', {}, plain],
  [
    '0 as a temperature',
    '0.9.1',
    { temperature: 0, top_p: 0.5, max_tokens: 7 },
    { ...plain, temperature: 0, top_p: 0.5, max_tokens: 7 },
  ],
  ['no more tokens than none', '0.9.1', { max_tokens: -1 }, plain],
  ['an empty constraint', '0.9.1', guided({}), plain],
  ['a schema of old', '0.9.1', guided({ json_schema: '{}' }), { ...plain, guided_json: '{}' }],
  ['a regex of old', '0.10.2', guided({ regex: 'a+' }), { ...plain, guided_regex: 'a+' }],
  ['a grammar of old', '0.9.1+cu126', guided({ grammar: 'g' }), { ...plain, guided_grammar: 'g' }],
  ['a choice of old', '0.9.1', guided({ choice: ['a', 'b'] }), { ...plain, guided_choice: ['a', 'b'] }],
  ['a schema', '0.11.0', guided({ json_schema: '{}' }), { ...plain, structured_outputs: { json: '{}' } }],
  ['a regex', '0.25.1', guided({ regex: '' }), { ...plain, structured_outputs: { regex: '' } }],
  ['a grammar', '0.32.0rc1', guided({ grammar: 'g' }), { ...plain, structured_outputs: { grammar: 'g' } }],
  ['a choice', '1.0', guided({ choice: ['a'] }), { ...plain, structured_outputs: { choice: ['a'] } }],
  [
    'a choice over a schema',
    '0.25.1',
    guided({ choice: ['a'], json_schema: '{}' }),
    { ...plain, structured_outputs: { choice: ['a'] } },
  ],
])('%s to vLLM %s', async (_title, version, request, body) => {
  const bodies: unknown[] = []
  const upstream = await startJsonEngine((asked) => {
    if (asked.path === '/version') return sendJson(asked.response, { version })
    bodies.push(asked.body)
    sendCompletion(asked)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  for (const method of ['Complete', 'CompleteStream'] as const) {
    expect(await call(client, method, { launch_id: 'l', prompts: ['p0'], ...request }).outcome).toMatchObject({
      code: status.OK,
    })
  }
  expect(bodies).toEqual([body, body])
})

test('a constraint whose spelling is not known is refused, never dropped', async () => {
  const upstream = await startJsonEngine((asked) => {
    if (asked.path === '/version') return sendJson(asked.response, {}, 500)
    sendCompletion(asked)
  })
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const request = { launch_id: 'l', prompts: ['p0'], ...guided({ choice: ['a'] }) }
  const { code, details } = await call(client, 'Complete', request).outcome
  expect({ code, details }).toEqual({
    code: status.INTERNAL,
    details: 'Generation failed: the engine does not tell its version',
  })
})

test('tokens come as the engine makes them, those of several prompts side by side, the counts with the last', async () => {
  const all: Asked[] = []
  const upstream = await startJsonEngine((asked) => {
    asked.response.writeHead(200, { 'content-type': 'text/event-stream' })
    all.push(asked)
  })
  const send = (asked: Asked | undefined, text: string, more: object = {}) =>
    asked?.response.write(`data: ${JSON.stringify({ choices: [{ text, finish_reason: null, ...more }] })}\n\n`)
  const finish = (asked: Asked | undefined) => {
    send(asked, '!', { finish_reason: 'stop' })
    asked?.response.end('data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n')
  }
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const { messages, outcome } = call(client, 'TokenStream', { launch_id: 'l', prompts: ['a', 'b'] })
  await eventually('both prompts', () => all.length === 2)
  expect(all[0]?.body).toMatchObject({ stream: true, stream_options: { include_usage: true } })
  const by = (prompt: string) => all.find(({ body }) => body['prompt'] === prompt)
  send(by('b'), 'ü')
  await eventually('the first piece', () => messages.length === 1)
  send(by('a'), 'x')
  await eventually('the second piece', () => messages.length === 2)
  finish(by('b'))
  finish(by('a'))
  const { code } = await outcome
  expect(code).toBe(status.OK)
  const last = { text: '!', finish_reason: 'stop', prompt_tokens: 3, completion_tokens: 2 }
  expect(messages.slice(0, 2)).toEqual([
    { index: 1, text: 'ü' },
    { index: 0, text: 'x' },
  ])
  expect(messages.slice(2).sort((a, b) => Number(a['index']) - Number(b['index']))).toEqual([
    { index: 0, ...last },
    { index: 1, ...last },
  ])
})

test.each([
  [
    'an error among the events',
    'data: {"error":{"message":"out of pages","code":500}}\n\n',
    status.INTERNAL,
    'Generation stream failed: out of pages',
  ],
  [
    'an early end',
    'data: {"choices":[{"text":"a"}]}\n\n',
    status.INTERNAL,
    'Generation stream failed: the engine ended its stream early',
  ],
])('%s ends a token stream with words', async (_title, events, code, details) => {
  const upstream = await startJsonEngine(({ response }) =>
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events),
  )
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const outcome = await call(client, 'TokenStream', { launch_id: 'l', prompts: ['a'] }).outcome
  expect(outcome).toMatchObject({ code, details })
})
