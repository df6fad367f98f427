import { expect, test } from 'vitest'
import { engineSlice, type ProfileName } from '../../src/config/engine.ts'
import { equivalent } from '../../src/engine/args.ts'
import { buildArgv } from '../../src/engine/argv.ts'
import { toConfigArgs } from '../../src/engine/config-args.ts'
import { buildEnvironment, type EnvironmentPlan } from '../../src/engine/environment.ts'

const base = { modelPath: '/data/model', servedName: 'Org/Model', port: 5001 }
const build = (profile: ProfileName, version: string, args: string[]) => buildArgv({ ...base, profile, version, args })

const golden: [ProfileName, string, string][] = [
  ['v0-overlay', 'vllm.entrypoints.openai.api_server', ''],
  ['v1-overlay', 'vllm.entrypoints.openai.api_server', ''],
  ['plugin', 'gonka_poc.entrypoint.api_router', ' --worker-extension-cls gonka_poc.worker.PoCWorkerExtension'],
  ['stock', 'vllm.entrypoints.openai.api_server', ''],
]
for (const [profile, module, forced] of golden) {
  test(`the command line of ${profile}, word for word`, () => {
    const { argv, notes } = build(profile, '0.9.1', ['--dtype', 'bfloat16', '-tp', '4', '--enforce_eager'])
    expect(argv.join(' ')).toBe(
      `-m ${module} --model /data/model --served-model-name Org/Model --host 127.0.0.1 --port 5001 ` +
        `--dtype bfloat16 --tensor-parallel-size 4 --enforce-eager${forced}`,
    )
    expect(notes).toEqual([])
  })
}

const translated: [version: string, wanted: string[], passed: string[]][] = [
  ['0.9.1', ['--disable-log-requests'], ['--disable-log-requests']],
  ['0.20.0', ['--disable-log-requests'], []],
  ['0.9.1', ['--enable-log-requests'], []],
  ['0.20.0', ['--num_scheduler_steps=8', '--swap-space', '4'], []],
  ['0.20.0', ['--task', 'embed'], ['--runner', 'pooling', '--convert', 'embed']],
  ['0.9.1', ['--task', 'embed'], ['--task', 'embed']],
  ['0.20.0', ['--guided-decoding-backend', 'xgrammar'], ['--structured-outputs-config.backend', 'xgrammar']],
  [
    '0.20.0',
    ['--rope-scaling', '{"rope_type":"yarn","factor":4}', '--rope-theta', '1000000'],
    [
      '--hf-overrides.rope_parameters.rope_type',
      'yarn',
      '--hf-overrides.rope_parameters.factor',
      '4',
      '--hf-overrides.rope_parameters.rope_theta',
      '1000000',
    ],
  ],
  ['0.20.0', ['--enable-reasoning', '--reasoning-parser', 'qwen3'], ['--reasoning-parser', 'qwen3']],
  ['0.20.0', ['--seed', '-1'], ['--seed=-1']],
  ['0.20.0', ['--no-enable-prefix-caching'], ['--no-enable-prefix-caching']],
  ['0.32.0', ['--no_log-error-stack'], ['--no-log-error-stack']],
  ['0.32.0', ['--no-such-flag', '7'], ['--no-such-flag', '7']],
]
for (const [version, wanted, passed] of translated) {
  test(`vLLM ${version} gets "${passed.join(' ')}" where "${wanted.join(' ')}" is wanted`, () => {
    expect(build('stock', version, wanted).argv.slice(10)).toEqual(passed)
  })
}

test('what the daemon owns cannot be taken from it, and that is said', () => {
  const { argv, notes } = build('stock', '0.20.0', ['--host', '0.0.0.0', '--port=1', '--api-key', 'k', '--model', 'x'])
  expect(argv.slice(10)).toEqual([])
  expect(argv.join(' ')).toContain('--host 127.0.0.1 --port 5001')
  expect(notes).toHaveLength(4)
  expect(notes.join()).not.toContain('=k')
})

const settings = (env: Record<string, string>) =>
  engineSlice.parse(
    Object.fromEntries(
      Object.entries(engineSlice.shape).map(([name, field]) => [name, env[(field.meta() as { env: string }).env]]),
    ),
  )

test('registered and launched arguments are the same thing', () => {
  const config = settings({ MAX_MODEL_LEN: '4096', TRUST_REMOTE_CODE: '1', EXTRA_VLLM_ARGS: '--enforce-eager -tp 2' })
  const args = toConfigArgs(config, { tp: 1, dtype: 'bfloat16' })
  expect(args.join(' ')).toBe('--dtype bfloat16 --max-model-len 4096 --trust-remote-code --enforce-eager -tp 2')
  const { argv } = build('v1-overlay', '0.20.0', args)
  expect(equivalent(argv.slice(2), toConfigArgs(config, { tp: 1, dtype: 'bfloat16' }), 'bfloat16')).toBe(true)
})

const environment = (more: Partial<EnvironmentPlan>) =>
  buildEnvironment({
    profile: 'v1-overlay',
    version: '0.20.0',
    gpus: [2, 3],
    modelIsLocal: true,
    loggingLevel: 'INFO',
    ompNumThreads: 1,
    home: '/var/lib/gonka-node',
    pythonFolder: '/opt/vllm/bin',
    hfToken: 'hf_secret',
    proxies: { https_proxy: 'http://proxy:3128' },
    engineEnv: { NCCL_DEBUG: 'INFO', VLLM_PORT: '8001', VLLM_USE_V1: '0', NOTIFY_SOCKET: '/run/x' },
    ...more,
  })

test('an engine gets its own environment: no VLLM_PORT, no proxy, no token, no NOTIFY_SOCKET', () => {
  process.env['NOTIFY_SOCKET_TEST'] = 'leak'
  expect(environment({})).toEqual({
    PATH: '/opt/vllm/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/var/lib/gonka-node',
    LANG: 'C.UTF-8',
    PYTHONUNBUFFERED: '1',
    VLLM_NO_USAGE_STATS: '1',
    VLLM_WORKER_MULTIPROC_METHOD: 'spawn',
    VLLM_LOGGING_LEVEL: 'INFO',
    OMP_NUM_THREADS: '1',
    HF_HUB_OFFLINE: '1',
    NCCL_DEBUG: 'INFO',
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    CUDA_VISIBLE_DEVICES: '2,3',
    VLLM_ALLOW_INSECURE_SERIALIZATION: '1',
  })
})

test('the profile decides V0 or V1, and a hub model gets what the hub needs', () => {
  expect(environment({ profile: 'v0-overlay', version: '0.9.1' })).toMatchObject({ VLLM_USE_V1: '0' })
  expect(environment({ profile: 'stock', version: '0.9.1' })).toMatchObject({ VLLM_USE_V1: '1' })
  expect(environment({})['VLLM_USE_V1']).toBeUndefined()
  const hub = environment({ modelIsLocal: false })
  expect(hub).toMatchObject({ HF_TOKEN: 'hf_secret', https_proxy: 'http://proxy:3128' })
  expect(hub['HF_HUB_OFFLINE']).toBeUndefined()
})
