// The stages of a load, what each prints and its share of the load time (facts/vllm.md 2.6).
import type { EngineArgs } from './engine-argv.ts'
import type { Generation } from './engine-knobs.ts'
import type { EngineLog } from './engine-log.ts'

export type StageView = { args: EngineArgs; generation: Generation; log: EngineLog; core: string }

/** Part of the load time, and the lines: an array is spread over the stage. */
type StagePlan = { share: number; print: readonly ((view: StageView) => void)[] }

const version = { 'v0-overlay': '0.9.1', 'v1-overlay': '0.20.0', plugin: '0.25.1', stock: '0.32.0' } as const

export function versionOf(generation: Generation): string {
  return version[generation]
}

/** As Python prints a dictionary, near enough: vLLM tells every argument that it was given. */
function renderGiven({ given }: EngineArgs): string {
  const pairs = [...given].map(([name, values]) => {
    const [value = ''] = values
    const isPlain = values.length === 1 && /^(?:-?\d+(?:\.\d+)?|[[{].*)$/s.test(value)
    const shown = value === 'true' ? 'True' : isPlain ? value : `'${values.join("', '")}'`
    return `'${name.replaceAll('-', '_')}': ${values.length > 1 ? `[${shown}]` : shown}`
  })
  return pairs.join(', ')
}

const shard = (done: number) => (view: StageView) =>
  view.log.raw(
    `${prefix(view)}Loading safetensors checkpoint shards: ${String(done * 25).padStart(3)}% Completed | ${done}/4 [00:0${done}<00:0${4 - done},  1.01it/s]`,
  )
const info = (file: string, message: (view: StageView) => string) => (view: StageView) =>
  view.log.line('INFO', file, message(view), view.core)

export const stages = {
  import: {
    share: 0.15,
    print: [({ log }) => log.line('INFO', '__init__.py:239', 'Automatically detected platform cuda.')],
  },
  args: {
    share: 0.05,
    print: [
      ({ log, generation }) =>
        log.line('INFO', 'api_server.py:1287', `vLLM API server version ${versionOf(generation)}`),
      ({ log, args }) => log.line('INFO', 'utils.py:253', `non-default args: {${renderGiven(args)}}`),
    ],
  },
  config: {
    share: 0.05,
    print: [
      ({ log, args, generation }) =>
        log.line(
          'INFO',
          'core.py:70',
          `Initializing a ${generation === 'v0-overlay' ? 'V0' : 'V1'} LLM engine (v${versionOf(generation)}) with config: model='${args.model}', dtype=torch.${args.dtype}`,
        ),
    ],
  },
  distributed: {
    share: 0.05,
    print: [
      info(
        'parallel_state.py:1065',
        () => 'rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, TP rank 0, EP rank 0',
      ),
      info('cuda.py:252', () => 'Using Flash Attention backend on V1 engine.'),
    ],
  },
  shards: {
    share: 0.4,
    print: [
      info('gpu_model_runner.py:1595', ({ args }) => `Starting to load model ${args.model}...`),
      shard(0),
      shard(1),
      shard(2),
      shard(3),
      shard(4),
      info('default_loader.py:272', () => 'Loading weights took 4.04 seconds'),
      info('gpu_model_runner.py:1624', () => 'Model loading took 14.2717 GiB and 4.533910 seconds'),
    ],
  },
  compile: {
    share: 0.12,
    print: [
      info('backends.py:462', () => 'Using cache directory: /root/.cache/vllm/torch_compile_cache/3f9a/rank_0_0'),
      info('backends.py:472', () => 'Dynamo bytecode transform time: 5.12 s'),
      info('backends.py:173', () => 'Compiling a graph for general shape takes 20.49 s'),
      info('monitor.py:34', () => 'torch.compile takes 25.61 s in total'),
    ],
  },
  profiling: { share: 0.04, print: [info('gpu_worker.py:227', () => 'Available KV cache memory: 53.41 GiB')] },
  kv: {
    share: 0.02,
    print: [
      info('kv_cache_utils.py:716', () => 'GPU KV cache size: 437,536 tokens'),
      info('kv_cache_utils.py:720', () => 'Maximum concurrency for 8,192 tokens per request: 53.41x'),
    ],
  },
  graphs: {
    share: 0.1,
    print: [
      (view) =>
        view.args.enforceEager
          ? view.log.line('INFO', 'gpu_model_runner.py:2040', 'Skipping CUDA graph capture.', view.core)
          : view.log.raw(
              `${prefix(view)}Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|##########| 67/67 [00:03<00:00, 20.02it/s]`,
            ),
      info('gpu_model_runner.py:2048', () => 'Graph capturing finished in 25 secs, took 0.52 GiB'),
      info('core.py:171', () => 'init engine (profile, create kv cache, warmup model) took 51.20 seconds'),
    ],
  },
  http: {
    share: 0.02,
    print: [
      ({ log, args }) =>
        log.line('INFO', 'api_server.py:1349', `Starting vLLM API server 0 on http://${args.host}:${args.port}`),
      ({ log }) => log.line('INFO', 'launcher.py:29', 'Available routes are:'),
      ({ log }) => log.line('INFO', 'launcher.py:37', 'Route: /health, Methods: GET'),
    ],
  },
} satisfies Record<string, StagePlan>

export type Stage = keyof typeof stages

export const stageNames = Object.keys(stages) as Stage[]
/** From this stage on there is an EngineCore, and SIGTERM is lost (facts/vllm.md 2.9). */
export const firstCoreStage: Stage = 'distributed'

/** Prints the stage over its share of the load time; `wait` may throw to end the load. */
export async function runStage(
  name: Stage,
  view: StageView,
  loadMs: number,
  wait: (ms: number) => Promise<void>,
): Promise<void> {
  const plan: StagePlan = stages[name]
  for (const print of plan.print) {
    print(view)
    await wait((loadMs * plan.share) / plan.print.length)
  }
}

function prefix({ generation, core }: StageView): string {
  return generation === 'v0-overlay' ? '' : `(${core}) `
}
