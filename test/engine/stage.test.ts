import { expect, test } from 'vitest'
import { parseStage } from '../../src/engine/stage.ts'

const lines: [line: string, stage: object | undefined][] = [
  ['INFO 11-21 07:50:01 [__init__.py:244] Automatically detected platform cuda.', { stage: 'importing' }],
  ['INFO 11-21 07:50:02 [api_server.py:1287] vLLM API server version 0.9.1', { stage: 'reading arguments' }],
  [
    '(EngineCore pid=7) INFO 11-21 07:50:03 [core.py:60] Initializing a V1 LLM engine (v0.20.0) with config: …',
    { stage: 'configuring' },
  ],
  ['INFO rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, TP rank 0', { stage: 'connecting ranks' }],
  ['INFO Using Flash Attention backend on V1 engine.', { stage: 'choosing attention backend' }],
  [
    'INFO Using FLASH_ATTN attention backend out of potential backends: [FLASH_ATTN]',
    { stage: 'choosing attention backend' },
  ],
  ['(EngineCore pid=7) (Worker_TP0 pid=9) INFO Starting to load model /models/x...', { stage: 'loading weights' }],
  [
    'Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01]',
    { stage: 'loading weights', percent: 50 },
  ],
  ['INFO Loading weights took 12.34 seconds', { stage: 'weights loaded' }],
  ['INFO Model loading took 61.0347 GiB and 13.1 seconds', { stage: 'weights loaded' }],
  ['INFO Dynamo bytecode transform time: 5.1 s', { stage: 'compiling' }],
  ['INFO Directly load the compiled graph(s) for shape None from the cache', { stage: 'compiled' }],
  ['INFO Available KV cache memory: 9.51 GiB', { stage: 'profiling memory' }],
  ['INFO GPU KV cache size: 123,456 tokens', { stage: 'allocating KV cache' }],
  ['INFO CPU KV cache size: 2,097,152 tokens, Maximum concurrency for 256 tokens', { stage: 'allocating KV cache' }],
  ['Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  43%|████', { stage: 'capturing graphs', percent: 43 }],
  ['INFO init engine (profile, create kv cache, warmup model) took 9.1 seconds', { stage: 'warming up' }],
  ['INFO Starting vLLM API server 0 on http://127.0.0.1:5001', { stage: 'starting HTTP' }],
  ['INFO:     Application startup complete.', { stage: 'ready' }],
  ['INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', undefined],
]

for (const [line, stage] of lines) {
  test(`"${line.slice(0, 70)}" is ${stage ? JSON.stringify(stage) : 'no stage'}`, () => {
    expect(parseStage(line)).toEqual(stage)
  })
}
