// What the rehearsal engine generates, in the shapes of vLLM: several prompts, constraints, embeddings.
import { expect, test } from 'vitest'
import { post, startEngine } from './engine-support.ts'

test('several prompts are several choices and one sum of usage, whole and streamed', async () => {
  const engine = await startEngine()
  await engine.serving()
  const ask = { model: 'tiny', prompt: ['one', 'another one'], max_tokens: 2 }
  const { body } = await post(`${engine.url}/v1/completions`, ask)
  expect(body).toMatchObject({
    choices: [
      { index: 0, text: 'Hello there', finish_reason: 'length' },
      { index: 1, text: 'Hello there', finish_reason: 'length' },
    ],
    usage: { prompt_tokens: 6, completion_tokens: 4, total_tokens: 10 },
  })
  const streamed = JSON.stringify({ ...ask, stream: true, stream_options: { include_usage: true } })
  const text = await (await fetch(`${engine.url}/v1/completions`, { method: 'POST', body: streamed })).text()
  expect(text.match(/"index":1,"text":"[^"]+"/g)).toHaveLength(2)
  expect(text).toContain('"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10}')
})

const schema = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } } }

const free = 'Hello there my good friend'

test.each([
  [
    'v0-overlay',
    [
      [{ guided_choice: ['yes', 'no'] }, 'yes'],
      [{ guided_regex: '[ab]+' }, '[ab]+'],
      [{ structured_outputs: { choice: ['yes', 'no'] } }, free],
    ],
  ],
  [
    'stock',
    [
      [{ structured_outputs: { choice: ['yes', 'no'] } }, 'yes'],
      [{ structured_outputs: { json: schema } }, '{"name":"text","age":1}'],
      [{ structured_outputs: { json: JSON.stringify(schema) } }, '{"name":"text","age":1}'],
      [{ structured_outputs: { regex: '[ab]+' } }, '[ab]+'],
      [{ guided_choice: ['yes', 'no'] }, free],
    ],
  ],
] as const)('%s keeps constraints in its own spelling and ignores the other', async (generation, rows) => {
  const engine = await startEngine({ REHEARSAL_GENERATION: generation })
  await engine.serving()
  for (const [constraint, text] of rows) {
    const { body } = await post(`${engine.url}/v1/completions`, { prompt: 'x', max_tokens: 100, ...constraint })
    const [choice] = body['choices'] as { text: string; finish_reason: string }[]
    expect(choice?.text.slice(0, text.length)).toBe(text)
    expect(choice?.finish_reason).toBe(text === free ? 'length' : 'stop')
  }
  const { status } = await post(`${engine.url}/v1/completions`, {
    prompt: 'x',
    guided_json: '{',
    structured_outputs: { json: '{' },
  })
  expect(status).toBe(400)
})

test('an engine for embeddings answers unit vectors in both encodings and no completions, any other the reverse', async () => {
  const engine = await startEngine({ REHEARSAL_EMBED_DIMS: '8', REHEARSAL_GENERATION: 'stock' }, ['--convert', 'embed'])
  await engine.serving()
  type Answer = { data: { index: number; embedding: number[] | string }[]; usage: { prompt_tokens: number } }
  const ask = async (more: object) =>
    (await post(`${engine.url}/v1/embeddings`, { input: ['a', 'b', 'a'], ...more })).body as unknown as Answer
  const { data, usage } = await ask({})
  expect(usage.prompt_tokens).toBe(3)
  expect(Math.hypot(...(data[0]?.embedding as number[]))).toBeCloseTo(1)
  expect(data[2]?.embedding).toEqual(data[0]?.embedding)
  expect(data[1]?.embedding).not.toEqual(data[0]?.embedding)
  const bytes = Buffer.from((await ask({ encoding_format: 'base64' })).data[1]?.embedding as string, 'base64')
  expect(bytes.readFloatLE(28)).toBeCloseTo(Number(data[1]?.embedding[7]))
  expect(await post(`${engine.url}/v1/completions`, { prompt: 'x' })).toMatchObject({ status: 404 })

  const other = await startEngine({ REHEARSAL_GENERATION: 'v0-overlay' })
  await other.serving()
  expect(await post(`${other.url}/v1/embeddings`, { input: 'x' })).toMatchObject({
    status: 400,
    body: { message: 'The model does not support Embeddings API' },
  })
})
