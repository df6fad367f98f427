// A1.9: what the service is started with. A case is run where its variable is known (`--env NAME=value`).
import assert from 'node:assert/strict'
import { type Case, needsGrpc, needsVariable } from './case.ts'
import type { Target } from './target.ts'

const valueOf = ({ environment }: Target, name: string): string => environment?.[name] ?? ''
const portOf = (address: string) => new URL(address.includes('://') ? address : `http://${address}`).port

/** Sorted; NaN for `all` and UUIDs. */
const visibleOf = (target: Target): number[] =>
  valueOf(target, 'CUDA_VISIBLE_DEVICES')
    .split(',')
    .map((one) => (one.trim() === '' ? NaN : Number(one)))
    .toSorted((a, b) => a - b)

type Log = { offset: number; next_offset: number; content: string }

export const environmentCases: Case[] = [
  {
    of: 'A1.9',
    title: 'VLLM_BOOTSTRAP_PORT is the port of REST',
    lacks: needsVariable('VLLM_BOOTSTRAP_PORT'),
    async run(target) {
      assert.equal(portOf(target.url), valueOf(target, 'VLLM_BOOTSTRAP_PORT'))
      assert.equal((await target.call('GET', '/launch')).status, 200)
    },
  },
  {
    of: 'A1.9',
    title: 'VLLM_GRPC_PORT is the port of gRPC',
    lacks: (target) => needsGrpc(target) ?? needsVariable('VLLM_GRPC_PORT')(target),
    async run(target) {
      assert.equal(portOf(target.grpc ?? ''), valueOf(target, 'VLLM_GRPC_PORT'))
      const { code } = await target.grpcCalls().ask('Complete', {}, { metadata: target.metadata() })
      assert.equal(code, 'INVALID_ARGUMENT')
    },
  },
  {
    of: 'A1.9',
    title: 'CUDA_VISIBLE_DEVICES names the GPUs: all of them for a launch without gpu_ids, and no other one',
    lacks: (target) =>
      needsVariable('CUDA_VISIBLE_DEVICES')(target) ??
      (visibleOf(target).every(Number.isInteger) ? undefined : 'CUDA_VISIBLE_DEVICES tells no indices'),
    async run(target) {
      const visible = visibleOf(target)
      const beyond = Math.max(...visible) + 1
      const body = { model: target.model, gpu_ids: [beyond] }
      const refused = await target.call('POST', '/launch', { body })
      assert.deepEqual(refused.json, { detail: `Requested GPUs are not available: [${beyond}]` })
      const made = await target.launch({ model: target.model })
      assert.deepEqual(
        made.gpu_ids.toSorted((a, b) => a - b),
        visible,
      )
      await target.stop(made.launch_id)
    },
  },
  {
    of: 'A1.9',
    shares: true,
    title: 'VLLM_LOG_READ_CHUNK_BYTES bounds each piece of a log, but for the rest of a character',
    lacks: needsVariable('VLLM_LOG_READ_CHUNK_BYTES'),
    async run(target) {
      const most = Number(valueOf(target, 'VLLM_LOG_READ_CHUNK_BYTES'))
      const { launch_id: id } = await target.serving('generate')
      const { json } = await target.call('GET', `/logs/${id}`)
      const { content, next_offset } = json as Log
      assert.ok(next_offset <= most + 3, `${next_offset} bytes`)
      const rest = (await target.call('GET', `/logs/${id}?offset=${next_offset}`)).json as Log
      assert.ok(rest.content.length > 0, `the log is no longer than ${content.length} characters: nothing is shown`)
    },
  },
  {
    of: 'A1.9',
    title: 'VLLM_GRPC_LIMIT_MESSAGE_SIZE=true bounds gRPC messages to 4 MB',
    lacks: (target) => needsGrpc(target) ?? needsVariable('VLLM_GRPC_LIMIT_MESSAGE_SIZE')(target),
    async run(target) {
      const request = { launch_id: 'x', prompts: ['x'.repeat(6_000_000)] }
      const { code } = await target.grpcCalls().ask('Complete', request, { metadata: target.metadata() })
      const isLimited = valueOf(target, 'VLLM_GRPC_LIMIT_MESSAGE_SIZE') === 'true'
      assert.equal(code, isLimited ? 'RESOURCE_EXHAUSTED' : 'NOT_FOUND')
    },
  },
]
