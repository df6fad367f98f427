// A1.3: the nine defects of the old service, each as what is right instead. The old service fails most of them.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { type Case, needsBoth, needsGrpc, needsKey } from './case.ts'
import type { LaunchFacts, Target } from './target.ts'

/** The client of the old service gives up after 30 s. */
const clientPatience = 30_000

const wishOn = (target: Target, gpu: number) => ({ model: target.model, gpu_ids: [gpu] })

export const defectCases: Case[] = [
  {
    of: 'defect 1',
    title: 'a stop while the model loads ends stopped, without an error',
    async run(target) {
      for (const delay of [0, 50, 200]) {
        const { launch_id } = await target.launch(wishOn(target, target.gpus[0]))
        await wait(delay)
        const { state, error } = await target.stop(launch_id)
        assert.deepEqual({ state, error, delay }, { state: 'stopped', error: null, delay })
      }
    },
  },
  {
    of: 'defect 2',
    title: 'a launch that is killed from outside is failed by itself, and its GPU is free',
    lacks: ({ kill }) => (kill ? undefined : 'no --kill command'),
    async run(target) {
      const wish = wishOn(target, target.gpus[0])
      const { launch_id } = await target.launch(wish)
      await target.until(launch_id, 'ready')
      await target.kill?.(launch_id)
      const failed = await target.until(launch_id, 'failed')
      assert.ok(failed.error && !failed.error.includes('Broken pipe'), `error is ${JSON.stringify(failed.error)}`)
      const next = await target.launch(wish)
      await target.stop(next.launch_id)
    },
  },
  {
    of: 'defect 3',
    title: 'logs and launches are still there after the service was killed and started again; what runs, runs on',
    lacks: ({ restart }) => (restart ? undefined : 'no --restart command'),
    async run(target) {
      const [first, second] = target.gpus
      const { launch_id: ended } = await target.launch(wishOn(target, first))
      await target.until(ended, 'ready')
      await target.stop(ended)
      const { launch_id: running } = await target.launch(wishOn(target, second))
      await target.until(running, 'ready')
      const before = await target.call('GET', `/logs/${ended}?offset=0`)
      await target.restart?.()
      const after = await target.call('GET', `/logs/${ended}?offset=0`)
      assert.deepEqual(after.json, before.json)
      assert.equal((await target.status(ended)).state, 'stopped')
      assert.equal((await target.until(running, 'ready')).launch_id, running)
      await target.stop(running)
    },
  },
  {
    of: 'defect 4',
    title: '?include_terminal=true also lists what has ended',
    async run(target) {
      const { launch_id } = await target.launch(wishOn(target, target.gpus[0]))
      await target.stop(launch_id)
      const { json } = await target.call('GET', '/launch?include_terminal=true')
      assert.ok((json as LaunchFacts[]).some((one) => one.launch_id === launch_id))
    },
  },
  {
    of: 'defect 5',
    shares: true,
    title: 'calls run at the same time: 24 waiting ones keep no other launch from answering',
    lacks: needsGrpc,
    async run(target) {
      const [{ launch_id }, embed] = await Promise.all([target.serving('generate'), target.serving('embed')])
      const calls = target.grpcCalls()
      const ask = (prompts: string[], max_tokens: number) =>
        calls.ask('Complete', { launch_id, prompts, max_tokens }, { metadata: target.metadata() })
      const clock = async (work: Promise<unknown>) => {
        const began = performance.now()
        await work
        return performance.now() - began
      }
      const alone = await clock(ask(['a'], 64))
      const many = clock(Promise.all(Array.from({ length: 24 }, () => ask(['a'], 64))))
      const beside = calls.ask('Embed', { launch_id: embed.launch_id, texts: ['a'] }, { metadata: target.metadata() })
      const [together, during] = await Promise.all([many, clock(beside)])
      assert.ok(together < 8 * alone + 1000, `one takes ${alone} ms, 24 together ${together} ms`)
      assert.ok(during < 4 * alone + 1000, `another launch answered after ${during} ms`)
    },
  },
  {
    of: 'defect 6',
    title: 'a stop is answered before the client gives up',
    async run(target) {
      const { launch_id } = await target.launch(wishOn(target, target.gpus[0]))
      await target.until(launch_id, 'ready')
      const began = performance.now()
      const { json } = await target.call('POST', `/stop/${launch_id}`)
      assert.ok(performance.now() - began < clientPatience - 1000)
      assert.ok(['stopping', 'stopped'].includes((json as LaunchFacts).state))
      await target.until(launch_id, 'stopped')
    },
  },
  {
    of: 'defect 7',
    shares: true,
    title: 'streams keep the order of the prompts however long each takes',
    lacks: needsGrpc,
    async run(target) {
      const { launch_id } = await target.serving('generate')
      const lengths = [9, 1, 5, 2, 7, 1]
      const prompts = lengths.map((length) => Array.from({ length }, (_, at) => `word${at}`).join(' '))
      const request = { launch_id, prompts, max_tokens: 8 }
      const how = { metadata: target.metadata() }
      const { code, messages } = await target.grpcCalls().ask<{ prompt_tokens: number }>('CompleteStream', request, how)
      assert.equal(code, 'OK')
      const order = (values: readonly number[]) => values.map((one, at) => Math.sign(one - (values[at - 1] ?? one)))
      assert.deepEqual(order(messages.map(({ prompt_tokens }) => prompt_tokens)), order(lengths))
    },
  },
  {
    of: 'defect 8',
    shares: true,
    title: 'what the proto says is served: prompts is a list, and so is the answer',
    lacks: needsGrpc,
    async run(target) {
      const { launch_id } = await target.serving('generate')
      const how = { metadata: target.metadata() }
      const request = { launch_id, prompts: ['a'], max_tokens: 2 }
      const { messages } = await target.grpcCalls().ask<{ completions: { text: string }[] }>('Complete', request, how)
      assert.equal(messages[0]?.completions.length, 1)
      assert.equal(typeof messages[0]?.completions[0]?.text, 'string')
    },
  },
  {
    of: 'defect 9',
    title: 'a key that is not ASCII is refused over REST, not a failure of the service',
    lacks: needsKey,
    async run(target) {
      for (const authorization of ['Bearer kéy', `Basic ${Buffer.from('u:ключ').toString('base64')}`]) {
        const { status } = await target.call('GET', '/stats', { authorization })
        assert.equal(status, 401)
      }
    },
  },
  {
    of: 'defect 9',
    title: 'a key that is not ASCII is refused over gRPC, too',
    lacks: needsBoth,
    async run(target) {
      const calls = target.grpcCalls()
      const metadata = calls.metadata(`Basic ${Buffer.from('u:ключ').toString('base64')}`)
      assert.equal((await calls.ask('Complete', { prompts: ['a'] }, { metadata })).code, 'UNAUTHENTICATED')
    },
  },
]
