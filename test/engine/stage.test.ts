import { expect, test } from 'vitest'
import { parseStage, stages } from '../../src/engine/stage.ts'

const lines: [line: string, stage: object | undefined][] = [
  ['INFO 11-21 07:50:01 [__init__.py:244] Automatically detected platform cuda.', { stage: 'importing' }],
  ['INFO 11-21 07:50:02 [api_server.py:1287] vLLM API server version 0.9.1', { stage: 'reading arguments' }],
  ["INFO 11-21 07:50:02 [api_server.py:1288] args: Namespace(model='x')", { stage: 'reading arguments' }],
  [
    "(APIServer pid=3) INFO 11-21 07:50:02 [utils.py:253] non-default args: {'model': 'x'}",
    { stage: 'reading arguments' },
  ],
  [
    '(EngineCore pid=7) INFO 11-21 07:50:03 [core.py:60] Initializing a V1 LLM engine (v0.20.0) with config: …',
    { stage: 'configuring' },
  ],
  ['INFO rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, TP rank 0', { stage: 'connecting ranks' }],
  ['INFO [parallel_state.py:1208] world_size=2 rank=0 local_rank=0 backend=nccl', { stage: 'connecting ranks' }],
  ['INFO Using Flash Attention backend on V1 engine.', { stage: 'choosing attention backend' }],
  [
    'INFO Using FLASH_ATTN attention backend out of potential backends: [FLASH_ATTN]',
    { stage: 'choosing attention backend' },
  ],
  ['(EngineCore pid=7) (Worker_TP0 pid=9) INFO Starting to load model /models/x...', { stage: 'loading weights' }],
  [
    'INFO 11-21 07:51:40 [weight_utils.py:291] Time spent downloading weights for Qwen/Qwen3-32B: 61.417358 seconds',
    { stage: 'downloading weights' },
  ],
  ['Fetching 17 files:  41%|████      | 7/17 [00:31<00:44,  4.48s/it]', { stage: 'downloading weights', percent: 41 }],
  [
    'model-00003-of-00017.safetensors:  88%|████████▊ | 3.4G/3.9G [00:20<00:02, 201MB/s]',
    { stage: 'downloading weights', percent: 88 },
  ],
  ['Loading safetensors using Runai Model Streamer:  25% Completed | 1/4', { stage: 'loading weights', percent: 25 }],
  [
    'Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01]',
    { stage: 'loading weights', percent: 50 },
  ],
  ['INFO Loading weights took 12.34 seconds', { stage: 'weights loaded' }],
  ['INFO Model loading took 61.0347 GiB and 13.1 seconds', { stage: 'weights loaded' }],
  ['INFO Dynamo bytecode transform time: 5.1 s', { stage: 'compiling' }],
  ['INFO Using cache directory: /root/.cache/vllm/torch_compile_cache/ab12/rank_0_0', { stage: 'compiling' }],
  ['INFO Compiling a graph for general shape takes 21.3 s', { stage: 'compiling' }],
  ['INFO Compiling a graph for compile range (1, 8192) takes 21.3 s', { stage: 'compiling' }],
  ['INFO torch.compile takes 26.4 s in total', { stage: 'compiled' }],
  ['INFO Initial profiling/warmup run took 3.2 s', { stage: 'compiled' }],
  ['INFO Directly load the compiled graph(s) for shape None from the cache', { stage: 'compiled' }],
  ['INFO Available KV cache memory: 9.51 GiB', { stage: 'profiling memory' }],
  ['INFO Profiling CUDA graph memory: PIECEWISE=67', { stage: 'profiling memory' }],
  ['INFO # GPU blocks: 27743, # CPU blocks: 2048', { stage: 'allocating KV cache' }],
  ['INFO GPU KV cache size: 123,456 tokens', { stage: 'allocating KV cache' }],
  ['INFO CPU KV cache size: 2,097,152 tokens, Maximum concurrency for 256 tokens', { stage: 'allocating KV cache' }],
  ['Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  43%|████', { stage: 'capturing graphs', percent: 43 }],
  ['INFO Graph capturing finished in 25 secs, took 0.52 GiB', { stage: 'capturing graphs' }],
  ['INFO init engine (profile, create kv cache, warmup model) took 9.1 seconds', { stage: 'warming up' }],
  ['INFO Starting vLLM API server 0 on http://127.0.0.1:5001', { stage: 'starting HTTP' }],
  ['INFO Starting vLLM server on http://127.0.0.1:5001', { stage: 'starting HTTP' }],
  ['(APIServer pid=3) INFO API server: HTTP server started', { stage: 'starting HTTP' }],
  ['INFO:     Application startup complete.', { stage: 'ready' }],
  ['INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', undefined],
  ['INFO Maximum concurrency for 8,192 tokens per request: 15.07x', undefined],
]

for (const [line, stage] of lines) {
  test(`"${line.slice(0, 70)}" is ${stage ? JSON.stringify(stage) : 'no stage'}`, () => {
    expect(parseStage(line)).toEqual(stage)
  })
}

test('every phase of facts/vllm.md 2.6 that has a line is there', () => {
  const names =
    'importing, reading arguments, configuring, connecting ranks, choosing attention backend, loading weights, ' +
    'downloading weights, weights loaded, compiling, compiled, profiling memory, allocating KV cache, ' +
    'capturing graphs, warming up, starting HTTP, ready'
  const phases = new Set(names.split(', '))
  const seen = lines.flatMap(([, stage]) => (stage ? [(stage as { stage: string }).stage] : []))
  expect(new Set(seen)).toEqual(phases)
  expect(new Set(stages)).toEqual(phases)
})
