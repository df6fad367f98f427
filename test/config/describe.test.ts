import { expect, test } from 'vitest'
import { describeConfig, renderDescribed } from '../../src/config/describe.ts'
import { fields } from '../../src/config/field-table.ts'
import { parseEnvFile } from '../../src/config/env-file.ts'
import { judgeCacheRoot, judgeHfHome } from '../../src/models/hf-home.ts'
import { judgeGiven } from '../../src/config/judge.ts'
import { loadConfig } from '../../src/config/load.ts'
import { isOurs } from '../../src/config/names.ts'
import { editDistance } from '../../src/core/edit-distance.ts'
import { renderExample } from '../../src/config/reference.ts'
import { engineVariable } from '../../src/config/engine-env.ts'
import { configPlaces } from '../support/config-places.ts'

/** Every name of contracts/environment.md that an operator may have in a file. */
const accepted = `API_NODES API_NODE CLIENT_ID MODEL_NAME TENSOR_PARALLEL_SIZE HF_HOME NODE_ID ID_PREFIX GPU_TYPE NUM_GPUS
  POC_NODE INFERENCE_NODE REGISTRATION_ENDPOINT REGISTRATION_JSON FRP_SERVERS FRP_SERVER SECRET_FRP_TOKEN FRP_CONFIG_DIR
  FRP_VERSION LOG_DIR VLLM_PYTHON_PATH VLLM_CACHE_ROOT VLLM_USE_V1 VLLM_LOGGING_LEVEL VLLM_SKIP_P2P_CHECK
  VLLM_ATTENTION_BACKEND OMP_NUM_THREADS NCCL_CUMEM_ENABLE PYTHONPATH PYTHONUNBUFFERED PARALLEL_READERS INFERENCE_PORT
  INFERENCE_MAX_INSTANCES HF_HUB_OFFLINE SKIP_DOCKER SSH_PUBLIC_KEY_VALUE HOST_UID HOST_GID UBUNTU_TEST UVICORN_CMD
  FRP_DASHBOARD_PASSWORD MLNODE_VLLM_MODULE VLLM_RUNNER_TIMEOUT MLNODE_HANG_GRACE_SEC GONKA_METRICS MLNODE_SELF_URL
  MLNODE_MTLS_CLIENT_CERT MLNODE_MTLS_CLIENT_KEY MLNODE_MTLS_SERVER_CA MLNODE_RELEASE_VERSION POC_CALLBACK_INTERVAL_SEC
  POC_SIGNATURE_KEY POW_SIGNATURE_KEY GONKA_POC_FUSED MODEL_ID TENSOR_PARALLEL MAX_MODEL_LEN GPU_MEMORY_UTILIZATION DTYPE
  EXTRA_VLLM_ARGS TRUST_REMOTE_CODE ENABLE_AUTO_TOOL_CHOICE TOOL_CALL_PARSER REASONING_PARSER AUTO_TP_FALLBACK HF_TOKEN
  HUGGING_FACE_HUB_TOKEN VLLM_PORT HOST PORT BUILD_SHA BUILD_TIME PUBLIC_KEY ENABLE_SSHD SSH_PORT APP_USER VLLM_ACCESS_KEY
  VLLM_BOOTSTRAP_HOST VLLM_BOOTSTRAP_PORT VLLM_GRPC_PORT VLLM_BOOTSTRAP_LOG_DIR VLLM_STOP_TIMEOUT_SECONDS
  VLLM_LOG_READ_CHUNK_BYTES VLLM_GRPC_LIMIT_MESSAGE_SIZE NODE_HOST NODE_BIND ORDER_GRACE VLLM_PROFILE MODEL_VOLUME`

test('every name of the old scripts, the gateway and the launch service is known', () => {
  const unknown = accepted.split(/\s+/).filter((name) => !isOurs(name) && !engineVariable(name))
  expect(unknown).toEqual([])
})

test('no two settings share a name', () => {
  const names = fields.flatMap((field) => field.names)
  expect(names.length).toBe(new Set(names).size)
})

const secretFile = `API_NODES=a:1
CLIENT_ID=0042
MODEL_NAME=m
SECRET_FRP_TOKEN=hush-frp
VLLM_ACCESS_KEY='hush access'
HF_TOKEN=hush-hf
POC_SIGNATURE_KEY=hush-poc
FRP_DASHBOARD_PASSWORD=hush-dash
HF_ENDPOINT=https://me:hush-url@hub.example
EXTRA_VLLM_ARGS='--hf-token hush-arg --dtype auto'
REGISTRATION_JSON='{"id":"x","base_url":"http://h","auth_token":"hush-json","max_concurrent":1,"models":{"m":{}}}'
MLNODE_SOMETHING_TOKEN=hush-odd
NCCL_DEBUG=INFO
`

test('the description tells value, origin and meaning of each setting, and no secret', async () => {
  const places = await configPlaces(secretFile, { environment: { NODE_PORT: '8081' } })
  const loaded = await loadConfig(places)
  expect(loaded.kind).toBe('ok')
  const rows = describeConfig(loaded.given)
  const text = `${renderDescribed(rows)}${JSON.stringify(rows)}${JSON.stringify(loaded.warnings)}`
  expect(text).not.toContain('hush')
  const row = (name: string) => rows.find((one) => one.name === name)
  expect(row('CLIENT_ID')).toMatchObject({ value: '0042', origin: { kind: 'file', path: places.file, line: 2 } })
  expect(row('NODE_PORT')).toMatchObject({ value: '8081', origin: { kind: 'environment' } })
  expect(row('PORT')).toMatchObject({ value: '8000', origin: { kind: 'default' } })
  expect(row('SECRET_FRP_TOKEN')).toMatchObject({ value: '[redacted]', secret: true })
  expect(row('REGISTRATION_JSON')?.value).toContain('"auth_token":"[redacted]"')
  expect(row('NCCL_DEBUG')).toMatchObject({ value: 'INFO', part: 'engines' })
  expect(row('FRP_DASHBOARD_PASSWORD')).toMatchObject({ value: '[redacted]', part: 'unused' })
  expect(renderDescribed(rows, { onlySet: true })).toContain(`CLIENT_ID=0042  (${places.file}:2)\n`)
  expect(renderDescribed(rows, { onlySet: true })).not.toContain('(default)')
})

test('every secret of a configuration is told to the redactor', async () => {
  const loaded = await loadConfig(await configPlaces(secretFile))
  const own = ['hush-frp', 'hush access', 'hush-hf', 'hush-poc', 'hush-arg', 'hush-json']
  expect(loaded.secrets).toEqual(expect.arrayContaining([...own, 'hush-dash', 'hush-url', 'hush-odd']))
})

test('the example reads without a warning, names every setting, and says the defaults', () => {
  const { variables, warnings, problems } = parseEnvFile(renderExample().replaceAll(/^#(?=[A-Z0-9_]+=)/gm, ''))
  expect([warnings, problems]).toEqual([[], []])
  const names = fields.map(({ meta }) => meta.env).filter((name) => name !== 'GONKA_ENV_FILE')
  expect([...variables.keys()].sort()).toEqual(names.sort())
  const given = new Map(
    [...variables]
      .filter(([, { value }]) => value !== '')
      .map(([name, { value, line }]) => [name, { value, origin: { kind: 'file' as const, path: 'x', line } }]),
  )
  const said = judgeGiven(given)
  expect([said.problems, said.warnings]).toEqual([[], []])
  expect({ ...said.config, engineEnv: {} }).toEqual({ ...judgeGiven(new Map()).config, engineEnv: {} })
})

test.each([
  ['a mounted volume', {}, ['/data/huggingface', '/data/vllm-cache']],
  ['a hub folder', { mounted: false, hasHub: true }, ['/data/huggingface', '/data/vllm-cache']],
  ['neither', { mounted: false }, ['/home/g/.cache/huggingface', undefined]],
  ['HF_HOME set', { hfHome: '/models/hf' }, ['/models/hf', undefined]],
  ['VLLM_CACHE_ROOT set', { cacheRoot: '/c' }, ['/data/huggingface', '/c']],
  ['another mount point', { volumeMount: '/mnt/x' }, ['/mnt/x/huggingface', '/mnt/x/vllm-cache']],
])('models and caches are where they belong with %s', (_with, facts, expected) => {
  const usual = { hfHome: undefined, cacheRoot: undefined, volumeMount: '/data' }
  const all = { ...usual, mounted: true, hasHub: false, home: '/home/g', ...facts }
  const hfHome = judgeHfHome(all)
  expect([hfHome, judgeCacheRoot({ ...all, hfHome })]).toEqual(expected)
})

test.each([
  ['MODEL_NAME', 'MODEL_NAME', 0],
  ['MODEL_NAM', 'MODEL_NAME', 1],
  ['MODLE_NAME', 'MODEL_NAME', 1],
  ['model_name', 'MODEL_NAME', 1],
  ['', 'ABC', 3],
  ['HOME', 'HOST', 2],
])('%j is %j with %d edits', (left, right, distance) => {
  expect(editDistance(left, right)).toBe(distance)
})

test('the variables of an ordinary process environment make no warnings', async () => {
  const environment = {
    HOME: '/root',
    PATH: '/bin',
    USER: 'x',
    HOSTNAME: 'h',
    PWD: '/',
    NODE_ENV: 'production',
    NODE_OPTIONS: '',
    GONKA_NODE_PORT_8080_TCP: 'tcp://1.2.3.4:8080',
    CUDA_VERSION: '12',
    MODE: '1',
  }
  const loaded = await loadConfig(await configPlaces('MODEL_NAME=m\n', { environment }))
  expect(loaded.warnings).toEqual([])
})
