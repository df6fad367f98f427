// A1.8: gRPC against launches that are not, not yet or no longer there, and against engines that refuse.
import assert from 'node:assert/strict'
import { type Case, needsBoth, needsGrpc } from './case.ts'
import type { GrpcAnswer } from './grpc-calls.ts'
import type { Target } from './target.ts'

const methods = ['Embed', 'Complete', 'EmbedStream', 'CompleteStream'] as const
type Method = (typeof methods)[number]

const fieldOf = (method: Method) => (method.startsWith('Embed') ? 'texts' : 'prompts')
const taskOf = (method: Method) => (method.startsWith('Embed') ? 'embed' : 'generate')

const ask = (target: Target, method: Method, request: object): Promise<GrpcAnswer<object>> =>
  target.grpcCalls().ask(method, request, { metadata: target.metadata() })

/** For one text of `method`. */
const askOne = (target: Target, method: Method, launch_id: string, text = 'a') =>
  ask(target, method, { launch_id, [fieldOf(method)]: [text] })

const failures: Record<Method, string> = {
  Embed: 'Embedding failed: ',
  Complete: 'Generation failed: ',
  EmbedStream: 'Embedding stream failed: ',
  CompleteStream: 'Generation stream failed: ',
}

/** A long call, and another one should it end before. @returns the last one's, OK where none has failed after the patience of the target */
async function askUntilItFails(target: Target, method: Method, launch_id: string): Promise<GrpcAnswer<object>> {
  const end = performance.now() + target.patience
  for (;;) {
    const found = await ask(target, method, { launch_id, prompts: ['tell me everything'], max_tokens: 1900 })
    if (found.code !== 'OK' || performance.now() > end) return found
  }
}

/** @returns the launch, stopped, and how many methods were asked while it was loading */
async function judgeLoading(target: Target) {
  const { launch_id } = await target.launch({ model: target.model, gpu_ids: [target.gpus[0]] })
  let judged = 0
  for (const method of methods) {
    const [empty, found] = await Promise.all([ask(target, method, { launch_id }), askOne(target, method, launch_id)])
    // It was long enough in that state for both, or nothing is told.
    if ((await target.status(launch_id)).state !== 'bootstrapping') break
    assert.deepEqual([empty.code, empty.details], ['INVALID_ARGUMENT', `${fieldOf(method)} must not be empty`])
    const details = `Launch ${launch_id} is not ready (state=bootstrapping)`
    assert.deepEqual([found.code, found.details], ['FAILED_PRECONDITION', details])
    judged += 1
  }
  await target.stop(launch_id)
  return { launch_id, judged }
}

export const grpcStateCases: Case[] = [
  {
    of: 'A1.8',
    title:
      'a launch that loads is FAILED_PRECONDITION with its state, after the list and before its task were looked at',
    lacks: needsGrpc,
    shares: false,
    async run(target) {
      let last = await judgeLoading(target)
      for (let again = 0; last.judged === 0 && again < 4; again += 1) last = await judgeLoading(target)
      assert.ok(last.judged > 0, 'five launches left their loading state before a call was answered: nothing is shown')
      const { launch_id } = last
      const { code, details } = await askOne(target, 'Embed', launch_id)
      assert.deepEqual([code, details], ['FAILED_PRECONDITION', `Launch ${launch_id} is not ready (state=stopped)`])
    },
  },
  {
    of: 'A1.8',
    title: 'the key is looked at before all else, whatever the launch is',
    lacks: needsBoth,
    async run(target) {
      const { launch_id } = await target.serving('generate')
      const calls = target.grpcCalls()
      for (const method of methods)
        for (const request of [{}, { launch_id }, { launch_id, [fieldOf(method)]: ['a'] }]) {
          const { code, details } = await calls.ask(method, request, { metadata: calls.metadata() })
          assert.deepEqual([code, details], ['UNAUTHENTICATED', 'Invalid or missing access key'])
        }
    },
  },
  {
    of: 'A1.8',
    title: 'a launch that crashes during calls ends them with that word; then it is failed',
    lacks: (target) => needsGrpc(target) ?? (target.kill ? undefined : 'no --kill command'),
    shares: false,
    async run(target) {
      const { launch_id } = await target.launch({ model: target.model, gpu_ids: [target.gpus[0]] })
      await target.until(launch_id, 'ready')
      const running = (['Complete', 'CompleteStream'] as const).map((method) =>
        askUntilItFails(target, method, launch_id),
      )
      // After a call that began later, they run.
      assert.equal((await askOne(target, 'Complete', launch_id)).code, 'OK')
      await target.kill?.(launch_id)
      for (const { code, details } of await Promise.all(running))
        assert.deepEqual([code, details], ['FAILED_PRECONDITION', `Launch ${launch_id} subprocess crashed`])
      await target.until(launch_id, 'failed')
      const after = await askOne(target, 'CompleteStream', launch_id)
      const details = `Launch ${launch_id} is not ready (state=failed)`
      assert.deepEqual([after.code, after.details], ['FAILED_PRECONDITION', details])
    },
  },
  ...methods.map((method): Case => ({
    of: 'A1.8',
    title: `what the engine refuses is INTERNAL, "${failures[method]}" and its reason; the next call is answered`,
    lacks: needsGrpc,
    async run(target) {
      const { launch_id } = await target.serving(taskOf(method))
      // Longer than any model takes that this suite is run with.
      const { code, details } = await askOne(target, method, launch_id, 'word '.repeat(200_000))
      assert.equal(code, 'INTERNAL', details)
      assert.ok(details.startsWith(failures[method]) && details.length > failures[method].length + 10, details)
      assert.equal((await askOne(target, method, launch_id)).code, 'OK')
    },
  })),
]
