import { connect } from 'node:net'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { readGpuUses } from '../../src/rehearsal/engine-gpu.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { findMember, post, startEngine } from './engine-support.ts'

test('it refuses connections while it loads, says its stages, and then serves its model', async () => {
  const engine = await startEngine({ REHEARSAL_LOAD_MS: '400' })
  await eventually('the first stage', () => engine.out().includes('Automatically detected platform'))
  await expect(once(connect(engine.port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED')
  await engine.serving()
  expect(engine.err()).toMatch(/Loading safetensors checkpoint shards:  50% Completed \| 2\/4/)
  expect(engine.err()).toContain('INFO:     Application startup complete.')
  expect(engine.out()).toContain('GPU KV cache size: 437,536 tokens')
  const models = (await (await fetch(`${engine.url}/v1/models`)).json()) as { data: object[] }
  expect(models.data).toMatchObject([{ id: 'tiny', root: '/models/tiny', max_model_len: 8192 }])
})

test('a chat is answered whole and as a stream, and bad requests as vLLM does', async () => {
  const engine = await startEngine()
  await engine.serving()
  const ask = { model: 'tiny', messages: [{ role: 'user', content: 'hi' }], max_tokens: 3 }
  expect(await post(`${engine.url}/v1/chat/completions`, ask)).toMatchObject({
    status: 200,
    body: { choices: [{ message: { content: 'Hello there my' } }], usage: { completion_tokens: 3 } },
  })
  const body = JSON.stringify({ ...ask, stream: true, stream_options: { include_usage: true } })
  const text = await (await fetch(`${engine.url}/v1/chat/completions`, { method: 'POST', body })).text()
  expect(text.match(/"content":"[^"]+"/g)).toHaveLength(3)
  expect(text).toMatch(/"usage":\{.*\}\n\ndata: \[DONE\]\n\n$/)
  expect(await post(`${engine.url}/v1/completions`, '{bad')).toMatchObject({ status: 400 })
  expect(await post(`${engine.url}/v1/completions`, { model: 'no', prompt: 'x' })).toMatchObject({
    status: 404,
    body: { error: { type: 'NotFoundError', code: 404 } },
  })
  const metrics = await (await fetch(`${engine.url}/metrics`)).text()
  expect(metrics).toContain('vllm:generation_tokens_total{engine="0",model_name="tiny"} 6.0')
})

test.each([
  [['--no-such-flag'], {}, 2, 'error: unrecognized arguments: --no-such-flag'],
  [['--dtype', 'bf17'], {}, 2, "argument --dtype: invalid choice: 'bf17'"],
  [['--swap-space', '4'], { REHEARSAL_GENERATION: 'stock' }, 2, 'unrecognized arguments: --swap-space 4'],
  [[], { REHEARSAL_CRASH: 'oom' }, 1, 'CUDA out of memory. Tried to allocate'],
  [[], { REHEARSAL_CRASH: '19' }, 1, 'must be divisible by tensor parallel size'],
  [[], { REHEARSAL_CRASH: 'too-long' }, 1, 'is greater than the derived max_model_len'],
])('%j with %j ends with %i and says why', async (args, env, code, why) => {
  const engine = await startEngine(env, args)
  expect(await engine.exited).toEqual({ code, signal: null })
  expect(engine.err()).toContain(why)
})

test('a taken port is exit 1 before any load', async () => {
  const first = await startEngine()
  await first.serving()
  const second = await startEngine({}, [], first.port)
  expect(await second.exited).toEqual({ code: 1, signal: null })
  expect(second.err()).toMatch(/OSError: \[Errno 98\] Address already in use\n$/)
  expect(second.out()).toBe('')
})

test('SIGTERM is lost while it loads and ends it with 0 when it serves', async () => {
  const engine = await startEngine({ REHEARSAL_LOAD_MS: '600' })
  await eventually('the core', () => engine.core())
  await eventually('the weights', () => engine.err().includes('0/4'))
  engine.child.kill('SIGTERM')
  await engine.serving()
  engine.child.kill('SIGTERM')
  expect(await engine.exited).toEqual({ code: 0, signal: null })
  expect(engine.core()).toBeUndefined()
})

test('SIGINT ends a load, and nothing is left', async () => {
  const engine = await startEngine({ REHEARSAL_LOAD_MS: '20000', REHEARSAL_INTERRUPT_MS: '50' })
  await eventually('the weights', () => engine.err().includes('0/4'))
  engine.child.kill('SIGINT')
  expect(await engine.exited).toEqual({ code: null, signal: 'SIGINT' })
  await eventually('the core to be gone', () => engine.core() === undefined)
})

test('a killed core is 503 at once and exit 0 later; a killed API server leaves the core with its GPU memory', async () => {
  const folder = await tempDir()
  const engine = await startEngine({ REHEARSAL_WATCHDOG_MS: '600', REHEARSAL_GPU_STATE: folder })
  await engine.serving()
  expect(readGpuUses(folder)).toMatchObject([{ pid: engine.core(), gpus: [0], memoryMiB: 60_000 }])
  process.kill(engine.core() ?? 0, 'SIGKILL')
  await eventually('503', async () => (await fetch(`${engine.url}/health`)).status === 503)
  expect(await engine.exited).toEqual({ code: 0, signal: null })
  expect(readGpuUses(folder)).toEqual([])

  const other = await startEngine({ REHEARSAL_GPU_STATE: folder })
  await other.serving()
  const core = other.core()
  const gone = once(other.child, 'exit')
  other.child.kill('SIGKILL')
  await gone
  expect(findMember(other.child.pid ?? 0)).toBe(core)
  expect(readGpuUses(folder)).toMatchObject([{ pid: core }])
})

test('a stopped core is a hang: health stays 200, the counters freeze', async () => {
  const engine = await startEngine({ REHEARSAL_TOKEN_MS: '5' })
  await engine.serving()
  process.kill(engine.core() ?? 0, 'SIGSTOP')
  const left = new AbortController()
  const asked = fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    body: '{"prompt":"x"}',
    signal: left.signal,
  }).catch(() => 'left')
  const running = async () =>
    (await (await fetch(`${engine.url}/metrics`)).text()).includes('running{engine="0",model_name="tiny"} 1.0')
  await eventually('the request to run', running)
  expect((await fetch(`${engine.url}/health`)).status).toBe(200)
  expect(await (await fetch(`${engine.url}/metrics`)).text()).toMatch(/iteration_tokens_total_count\{.*\} 0\.0/)
  left.abort()
  expect(await asked).toBe('left')
})

test('a deaf engine ignores SIGTERM; knobs with commas are per slot', async () => {
  const env = { REHEARSAL_DEAF: '0,term', REHEARSAL_SLOT: '1', REHEARSAL_LATE_HEALTH_MS: '0,100' }
  const engine = await startEngine(env)
  await engine.serving()
  engine.child.kill('SIGTERM')
  expect(await post(`${engine.url}/v1/completions`, { prompt: 'x' })).toMatchObject({ status: 200 })
  engine.child.kill('SIGINT')
  expect(await engine.exited).toEqual({ code: 0, signal: null })
})
