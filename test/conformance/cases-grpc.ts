// A1.8: inference over gRPC, with what the old service's clients were built from.
import assert from 'node:assert/strict'
import { type Case, needsGrpc } from './case.ts'
import type { GrpcAnswer } from './grpc-calls.ts'
import type { Target } from './target.ts'

type Completion = { text: string; prompt_tokens: number; completion_tokens: number }
type Embedding = { values: number[] }

const absent = '00000000-0000-4000-8000-000000000000'
const methods = ['Embed', 'Complete', 'EmbedStream', 'CompleteStream'] as const
const isEmbed = (method: string) => method.startsWith('Embed')

const ask = <T>(target: Target, method: string, request: object): Promise<GrpcAnswer<T>> =>
  target.grpcCalls().ask<T>(method, request, { metadata: target.metadata() })

async function complete(target: Target, request: object): Promise<Completion[]> {
  const { launch_id } = await target.serving('generate')
  const found = await ask<{ completions: Completion[] }>(target, 'Complete', { launch_id, ...request })
  assert.equal(found.code, 'OK', `${found.code} ${found.details}`)
  return found.messages[0]?.completions ?? []
}

const refusals = methods.map((method): Case => {
  const field = isEmbed(method) ? 'texts' : 'prompts'
  return {
    of: 'A1.8',
    title: `${method} checks the list before the launch, then the launch, then its task`,
    lacks: needsGrpc,
    async run(target) {
      const empty = await ask(target, method, { launch_id: absent })
      assert.deepEqual([empty.code, empty.details], ['INVALID_ARGUMENT', `${field} must not be empty`])
      const unknown = await ask(target, method, { launch_id: absent, [field]: ['a'] })
      assert.deepEqual([unknown.code, unknown.details], ['NOT_FOUND', `Unknown launch_id: ${absent}`])
      const [wrong, wanted] = isEmbed(method) ? (['generate', 'embed'] as const) : (['embed', 'generate'] as const)
      const { launch_id } = await target.serving(wrong)
      const other = await ask(target, method, { launch_id, [field]: ['a'] })
      const details = `Launch ${launch_id} has task '${wrong}', expected '${wanted}'`
      assert.deepEqual([other.code, other.details], ['FAILED_PRECONDITION', details])
    },
  }
})

const kinds: Record<string, object> = {
  json_schema: { json_schema: '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}' },
  regex: { regex: '[ab]{3}' },
  grammar: { grammar: 'root ::= "yes" | "no"' },
  choice: { choice: ['yes', 'no'] },
}

export const grpcCases: Case[] = [
  ...refusals,
  {
    of: 'A1.8',
    title: 'completions come one per prompt, in order, each with its own counts',
    lacks: needsGrpc,
    async run(target) {
      const prompts = ['a', 'one two three four five six seven eight nine ten', 'a b']
      const found = await complete(target, { prompts, max_tokens: 4 })
      assert.equal(found.length, 3)
      for (const { completion_tokens } of found) assert.ok(completion_tokens > 0 && completion_tokens <= 4)
      const counts = found.map(({ prompt_tokens }) => prompt_tokens)
      assert.ok(
        counts.every((count) => count > 0),
        JSON.stringify(counts),
      )
      assert.ok((counts[1] ?? 0) > (counts[2] ?? 0) && (counts[2] ?? 0) >= (counts[0] ?? 0), JSON.stringify(counts))
    },
  },
  {
    of: 'A1.8',
    title: 'CompleteStream sends one message per prompt, in order, with the counts of the unary call',
    lacks: needsGrpc,
    async run(target) {
      const prompts = ['one two three four five six seven eight', 'a', 'one two three four']
      const { launch_id } = await target.serving('generate')
      const unary = await complete(target, { prompts, max_tokens: 3 })
      const streamed = await ask<Completion>(target, 'CompleteStream', { launch_id, prompts, max_tokens: 3 })
      assert.equal(streamed.code, 'OK', streamed.details)
      const counts = (all: readonly Completion[]) => all.map(({ prompt_tokens }) => prompt_tokens)
      assert.deepEqual(counts(streamed.messages), counts(unary))
    },
  },
  {
    of: 'A1.8',
    title: 'max_tokens of 0 or less is the default of 16 at most; temperature and top_p are optional',
    lacks: needsGrpc,
    async run(target) {
      for (const max_tokens of [0, -1]) {
        const [one] = await complete(target, { prompts: ['a'], max_tokens })
        assert.ok(one && one.completion_tokens > 0 && one.completion_tokens <= 16, JSON.stringify(one))
      }
      const [hot] = await complete(target, { prompts: ['a'], max_tokens: 2, temperature: 0, top_p: 0.5 })
      assert.ok(hot && hot.completion_tokens <= 2)
    },
  },
  ...Object.entries(kinds).map(([kind, guided_decoding]): Case => ({
    of: 'A1.8',
    title: `guided decoding by ${kind} is accepted`,
    lacks: needsGrpc,
    async run(target) {
      const [one] = await complete(target, { prompts: ['say'], max_tokens: 16, guided_decoding })
      assert.ok(one)
      if (kind === 'choice') assert.ok(['yes', 'no'].includes(one.text), one.text)
    },
  })),
  {
    of: 'A1.8',
    title: 'a choice wins over another kind',
    lacks: needsGrpc,
    async run(target) {
      const guided_decoding = { regex: '[ab]{3}', choice: ['yes', 'no'] }
      const [one] = await complete(target, { prompts: ['say'], max_tokens: 16, guided_decoding })
      assert.ok(one && ['yes', 'no'].includes(one.text), one?.text)
    },
  },
  {
    of: 'A1.8',
    title: 'embeddings come one per text, in order, all of the same length, unary and streamed alike',
    lacks: needsGrpc,
    async run(target) {
      const { launch_id } = await target.serving('embed')
      const texts = ['a', 'something much longer than that', 'c']
      const unary = await ask<{ embeddings: Embedding[] }>(target, 'Embed', { launch_id, texts })
      assert.equal(unary.code, 'OK', unary.details)
      const vectors = unary.messages[0]?.embeddings.map(({ values }) => values) ?? []
      assert.equal(vectors.length, 3)
      const lengths = new Set(vectors.map(({ length }) => length))
      assert.ok(lengths.size === 1 && !lengths.has(0), JSON.stringify([...lengths]))
      const streamed = await ask<Embedding>(target, 'EmbedStream', { launch_id, texts })
      assert.equal(streamed.code, 'OK', streamed.details)
      assert.equal(streamed.messages.length, 3)
      for (const [at, { values }] of streamed.messages.entries())
        for (const [place, value] of values.entries())
          assert.ok(Math.abs(value - (vectors[at]?.[place] ?? Number.NaN)) < 0.01, `text ${at} is another one`)
    },
  },
  {
    of: 'A1.8',
    title: 'a request of more than 4 MB is taken',
    lacks: needsGrpc,
    async run(target) {
      const large = await ask(target, 'Complete', { launch_id: absent, prompts: ['x'.repeat(6_000_000)] })
      assert.equal(large.code, 'NOT_FOUND', large.details)
    },
  },
  {
    of: 'A1.8',
    title: 'a launch that is not ready is FAILED_PRECONDITION with its state',
    lacks: needsGrpc,
    async run(target) {
      const { launch_id } = await target.serving('generate')
      await target.clear()
      const { state } = await target.until(launch_id, 'stopped', 'failed')
      const found = await ask(target, 'Complete', { launch_id, prompts: ['a'] })
      const details = `Launch ${launch_id} is not ready (state=${state})`
      assert.deepEqual([found.code, found.details], ['FAILED_PRECONDITION', details])
    },
  },
]
