import { expect, test } from 'vitest'
import { renderFinding } from '../../src/config/finding.ts'
import { loadConfig } from '../../src/config/load.ts'
import { pickPlaces } from '../../src/config/sources.ts'
import { configPlaces } from '../support/config-places.ts'

const node = 'API_NODES=10.0.0.1:9200\nCLIENT_ID=0042\nMODEL_NAME=org/model\n'

/** The findings as texts, with the temporary folder cut off. */
async function load(...given: Parameters<typeof configPlaces>) {
  const places = await configPlaces(...given)
  const loaded = await loadConfig(places)
  const render = (one: Parameters<typeof renderFinding>[0]) => renderFinding(one).replaceAll(`${places.root}/`, '')
  return {
    loaded,
    kind: loaded.kind,
    config: loaded.kind === 'ok' ? loaded.config : undefined,
    problems: loaded.kind === 'bad' ? loaded.problems.map(render) : [],
    warnings: loaded.warnings.map(render),
  }
}

test('three variables make a node of the network', async () => {
  const { config, warnings } = await load(node)
  expect(warnings).toEqual([])
  expect(config?.registration).toMatchObject({
    apiNodes: [{ host: '10.0.0.1', port: 9200 }],
    clientId: '0042',
    pocNode: true,
  })
  expect(config?.engine).toMatchObject({ model: 'org/model', inferenceNode: true, tensorParallel: 1 })
})

test('the environment wins over drop-ins in order of name, these over the env file, that over the defaults', async () => {
  const { config, loaded } = await load(`${node}NODE_PORT=8081\nINFERENCE_PORT=5100\nMAX_CONCURRENT=1\nDTYPE=auto\n`, {
    dropIns: {
      '20-b.env': 'MAX_CONCURRENT=3\n',
      '10-a.env': 'MAX_CONCURRENT=2\nINFERENCE_PORT=5200\nDTYPE=float16\n',
      '30-c.env~': 'MAX_CONCURRENT=4\n',
      '.40.env': 'MAX_CONCURRENT=5\n',
      'notes.txt': 'this is no env file',
    },
    environment: { DTYPE: 'bfloat16', UNRELATED: 'x' },
  })
  expect(config?.listeners).toMatchObject({ nodePort: 8081, inferencePort: 5200, controlPort: 8000 })
  expect([config?.registration.maxConcurrent, config?.engine.dtype]).toEqual([3, 'bfloat16'])
  const origins = loaded.kind === 'ok' ? loaded.origins : new Map()
  expect(origins.get('DTYPE')).toEqual({ kind: 'environment' })
  expect(origins.get('PORT')).toEqual({ kind: 'default' })
  expect(origins.get('NODE_PORT')).toMatchObject({ kind: 'file', line: 4 })
})

test('an empty value is the same as none, and says so where it hides nothing', async () => {
  const { config, warnings } = await load(`${node}NUM_GPUS=\nHF_HOME="  "\nMAX_CONCURRENT=7\n`, {
    dropIns: { 'a.env': 'MAX_CONCURRENT=\n' },
    environment: { CLIENT_ID: '' },
  })
  expect(config?.registration).toMatchObject({ maxConcurrent: 7, numGpus: undefined, clientId: '0042' })
  expect(config?.models.hfHome).toBeUndefined()
  expect(warnings).toEqual([
    'MAX_CONCURRENT (container.env.d/a.env:1): is empty, which is the same as not set; to switch off that of container.env:6, remove it there',
  ])
})

test('another env file is named by GONKA_ENV_FILE in the environment, with its own drop-ins', () => {
  expect(pickPlaces({ GONKA_ENV_FILE: '/a/b.env' })).toMatchObject({ file: '/a/b.env', folder: '/a/b.env.d' })
  expect(pickPlaces({})).toMatchObject({ file: '/etc/gonka-container.env', folder: '/etc/gonka-container.env.d' })
})

test('all problems are told at once, each with variable, file, line and remedy', async () => {
  const { problems } = await load(
    [
      'API_NODES=http://a:9200',
      'CLIENT_ID=0000',
      'GPU_MEMORY_UTILIZATION=1.5',
      'PORT=5003',
      'HF_HOME=~/models',
      'VLLM_GRPC_PORT=eighty',
      'INFERENCE_NODE=maybe',
      "EXTRA_VLLM_ARGS='--dtype half --served_model_name=x'",
    ].join('\n'),
    { environment: { NODE_PORT: '99999' } },
  )
  expect(problems).toEqual([
    'API_NODES (container.env:1): "http://a:9200" is not host:port; write api.example:9200, 10.0.0.1:9200 or [fd00::1]:9200',
    'CLIENT_ID (container.env:2): must be four digits and not 0000; write for example 0042',
    'INFERENCE_NODE (container.env:7): "maybe" is neither true nor false; write true or false',
    'GPU_MEMORY_UTILIZATION (container.env:3): "1.5" is not a number above 0 and at most 1; write for example 0.9',
    'EXTRA_VLLM_ARGS (container.env:8): holds --served-model-name, which the daemon sets itself (the name is that of MODEL_NAME, as the API nodes expect it); remove it',
    'HF_HOME (container.env:5): "~/models" is not an absolute path; write it out from /, without ~ and $',
    'NODE_PORT (environment): 99999 is outside 1..65535; write one from 1 to 65535',
    'VLLM_GRPC_PORT (container.env:6): "eighty" is not a whole number; write one from 1 to 65535',
    'PORT (container.env:4): is 5003, within the ports of the engines (INFERENCE_PORT + 1 to + 16: 5001 to 5016); write another port, or lower INFERENCE_MAX_INSTANCES',
  ])
})

test.each([
  ['API_NODES=a:1\nMODEL_NAME=m', /CLIENT_ID \(not set\): is missing while API_NODES is set; write/],
  ['CLIENT_ID=0042', /API_NODES \(not set\): is missing while CLIENT_ID is set; write/],
  ['API_NODES=a:1\nCLIENT_ID=0042', /MODEL_NAME \(not set\): is missing while API_NODES is set/],
  ['FRP_SERVERS=f:7000\nMODEL_NAME=m', /FRP_SERVERS \(.*:1\): needs CLIENT_ID/],
  [
    `${node}MODEL_ID=other`,
    /MODEL_ID \(.*:4\): is "other", while MODEL_NAME \(.*:3\), another name of the same, is not/,
  ],
  [
    `${node}HOST=10.0.0.9\nVLLM_BOOTSTRAP_HOST=10.0.0.8\nVLLM_ACCESS_KEY=k123`,
    /VLLM_BOOTSTRAP_HOST .* set one of them/,
  ],
  [`${node}PORT=8001\nVLLM_BOOTSTRAP_PORT=8002`, /VLLM_BOOTSTRAP_PORT \(.*:5\): is "8002"/],
  [`${node}TENSOR_PARALLEL_SIZE=2\nTENSOR_PARALLEL=4`, /TENSOR_PARALLEL \(.*:5\): is "4"/],
  [`${node}NODE_PORT=5000`, /NODE_PORT \(.*:4\): is 5000, as INFERENCE_PORT is; write a port of its own/],
  [`${node}INFERENCE_PORT=7950\nINFERENCE_MAX_INSTANCES=128`, /PORT \(not set\): is 8000, within/],
  [`${node}INFERENCE_PORT=65530`, /INFERENCE_PORT \(.*:4\): leaves no ports for 16 engines/],
  [`${node}POC_SIGNATURE_KEY=SIGNATURE`, /POC_SIGNATURE_KEY \(.*:4\): is the literal that a public repository ships/],
  [`${node}POW_SIGNATURE_KEY=SIGNATURE`, /POW_SIGNATURE_KEY \(.*:4\): is the literal/],
  [`${node}REGISTRATION_JSON={"id":"x","models":{"m":{}}}`, /REGISTRATION_JSON max_concurrent \(.*:4\): is missing/],
  [`${node}REGISTRATION_JSON='[1]'`, /is not a JSON object; write/],
  [`${node}MLNODE_MTLS_CLIENT_CERT=/a.pem`, /MLNODE_MTLS_CLIENT_KEY \(not set\): is missing/],
  [`${node}MLNODE_MTLS_CLIENT_KEY=/a.pem`, /MLNODE_MTLS_CLIENT_CERT \(not set\): is missing/],
  [
    `${node}CONTROL_TLS_CERT=/a.pem`,
    /CONTROL_TLS_KEY \(not set\): is missing while CONTROL_TLS_CERT is set; write the path of its key/,
  ],
  [
    `${node}CONTROL_TLS_KEY=/a.pem`,
    /CONTROL_TLS_CERT \(not set\): is missing while CONTROL_TLS_KEY is set; write the path of its certificate/,
  ],
  [`${node}FRP_SERVERS=a:1,a:1`, /"a:1" is listed twice; remove one/],
  [`${node}FRP_SERVERS=fd00::1:7000`, /is not host:port; write .*\[fd00::1\]:9200/],
  [`${node}FRP_SERVERS=f:0`, /port 0 of "f:0" is outside 1\.\.65535; write/],
  [`${node}NODE_HOST=http://me`, /NODE_HOST .*without scheme, port and path/],
  [`${node}NODE_HOST=me:8080`, /NODE_HOST .*without scheme, port and path/],
  [`${node}ORDER_GRACE=soon`, /"soon" is not a duration; write 30s/],
  [`${node}ORDER_GRACE=100000000`, /longer than 24 days/],
  [`${node}EXTRA_VLLM_ARGS='--api-key=hush'`, /holds --api-key, .*set VLLM_ACCESS_KEY/],
  [`${node}EXTRA_VLLM_ARGS='--por 1'`, /holds --port/],
  [`${node}EXTRA_VLLM_ARGS="it's"`, /quote that is not closed/],
  [`${node}MODEL_NAME="open`, /MODEL_NAME \(.*:4\): has a quote that is not closed/],
])('%j is refused', async (file, expected) => {
  const { kind, problems } = await load(file)
  expect(kind).toBe('bad')
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
  expect(problems[0]).not.toContain('hush')
})

test.each([
  ['VLLM_PORT=8001', /VLLM_PORT .*is not used: engines take INFERENCE_PORT \+ 1/],
  ['SKIP_DOCKER=false', /SKIP_DOCKER .*native is the only mode/],
  ['UVICORN_CMD=x', /UVICORN_CMD .*is not used/],
  ['UBUNTU_TEST=1', /gonka-node rehearse/],
  ['PUBLIC_KEY=ssh-ed25519', /starts no sshd/],
  ['VLLM_API_KEY=hush1', /VLLM_API_KEY .*VLLM_ACCESS_KEY/],
  ['HOST=0.0.0.0', /HOST .*no key, so the control and gRPC listeners stay closed; write VLLM_ACCESS_KEY/],
  ['HOST=[::]', /HOST .*\[::\] can be reached from outside/],
  ['API_NODES=a:5000', /API_NODES .*port 5000 for a.*9200 unless mapped/],
  ['INFERENCE_NODE=false\nMODEL_NAME=', /MODEL_NAME .*refuse a registration without a model/],
  ['MODEL_NAM=x', /MODEL_NAM .*nearest known name is MODEL_NAME/],
  ['client_id=0042', /client_id .*nearest known name is CLIENT_ID/],
  ['VLLM_ACCES_KEY=hush2', /VLLM_ACCES_KEY .*nearest known name is VLLM_ACCESS_KEY/],
  ['GONKA_SOMETHING_ELSE=1', /GONKA_SOMETHING_ELSE .*unknown/],
  ['GONKA_ENV_FILE=/x', /GONKA_ENV_FILE .*process environment alone/],
  [
    `REGISTRATION_JSON='{"id":"x","base_url":"http://h","max_concurrent":1,"models":{"other/model":{}}}'`,
    /REGISTRATION_JSON .*registers other\/model, while MODEL_NAME is org\/model/,
  ],
])('%j is a warning', async (line, expected) => {
  const { kind, warnings } = await load(`${node}${line}\n`)
  const told = warnings.filter((one) => !one.includes('is set on line'))
  expect(kind).toBe('ok')
  expect(told).toHaveLength(1)
  expect(told[0]).toMatch(expected)
  expect(told[0]).not.toContain('hush')
})

test.each([
  'SKIP_DOCKER=true',
  'HOST_UID=1000',
  'SSH_PUBLIC_KEY_VALUE=x',
  'FRP_VERSION=0.65.0',
  'VLLM_BOOTSTRAP_LOG_DIR=/tmp/x',
  'HOST=127.0.0.1',
  'HOST=0.0.0.0\nVLLM_ACCESS_KEY=k123',
  'HOST=localhost\nVLLM_BOOTSTRAP_HOST=localhost',
  'MODEL_ID=org/model',
  'FRP_SERVERS="a:7000, [fd00::1]:7000"',
  'SOMEBODY_ELSES=1',
  'HTTP_PROXY=http://p:1',
  'VLLM_GRPC_PORT=9001\nVLLM_STOP_TIMEOUT_SECONDS=5\nVLLM_LOG_READ_CHUNK_BYTES=10\nVLLM_GRPC_LIMIT_MESSAGE_SIZE=1',
  'REGISTRATION_JSON=\'{"id":"x","host":"frps","inference_port":10042,"poc_port":20042,"max_concurrent":5,"models":{"org/model":{"args":[]}},"extra":1}\'',
])('%j is taken without a word', async (line) => {
  const { kind, warnings } = await load(`${node}${line}\n`)
  expect([kind, warnings]).toEqual(['ok', []])
})

test('a node that stands alone needs only a model; without API_NODES nothing else is demanded', async () => {
  const { config } = await load('MODEL_NAME=org/model\n')
  expect(config?.registration).toMatchObject({ apiNodes: [], clientId: undefined })
})

test('the values of REGISTRATION_JSON are kept, unknown keys too', async () => {
  const body = {
    id: 'x',
    base_url: 'https://h/p',
    auth_token: 't0ken',
    max_concurrent: 5,
    models: { m: { args: ['-x'], y: 1 } },
    z: [1],
  }
  const { config, loaded } = await load(`MODEL_NAME=m\nREGISTRATION_JSON='${JSON.stringify(body)}'\n`)
  expect(config?.registration.json).toEqual(body)
  expect(loaded.secrets).toContain('t0ken')
})

test('engines get what vLLM and those below it read, and nothing of ours or secret', async () => {
  const passed = {
    POC_BATCH_SIZE_DEFAULT: '64',
    POC_SIGNATURE_KEY: 'k-poc',
    NCCL_CUMEM_ENABLE: '0',
    VLLM_ATTENTION_BACKEND: 'FLASHINFER',
    VLLM_SKIP_P2P_CHECK: '1',
    HF_XET_HIGH_PERFORMANCE: '1',
    TORCHINDUCTOR_CACHE_DIR: '/c',
    CUDA_HOME: '/cuda',
    TOKENIZERS_PARALLELISM: 'false',
    PYTHONPATH: '/app',
  }
  const kept = {
    VLLM_PORT: '1',
    VLLM_API_KEY: 'a-key',
    VLLM_ACCESS_KEY: 'a-key2',
    VLLM_ACCES_KEY: 'a-key3',
    VLLM_BOOTSTRAP_PORT: '8000',
    SECRET_FRP_TOKEN: 'tok',
    HF_TOKEN: 'hf_x',
    CUDA_VISIBLE_DEVICES: '0',
    POC_NODE: 'true',
    POW_SIGNATURE_KEY: 'k-pow',
    MY_OWN: '1',
  }
  const { config } = await load(node, { environment: { ...passed, ...kept } })
  expect(config?.engineEnv).toEqual(passed)
})

test('there is no built-in model', async () => {
  const { config } = await load('NODE_PORT=8088\nMODEL_VOLUME=vol-1\nCLIENT_ID=\nFRP_SERVERS=\n')
  expect(config?.engine.model).toBeUndefined()
})

test.each([
  ['no file', undefined, {}],
  ['an empty file', '', {}],
  ['a file of comments', '# A=1\n\n', {}],
  ['no file, and an image that brings its paths', undefined, { dropIns: { 'a.env': 'VLLM_PYTHON_PATH=/x/python\n' } }],
])('%s is waited for', async (_name, file, more) => {
  const { loaded } = await load(file, more)
  expect(loaded).toMatchObject({ kind: 'missing', path: loaded.places.file })
})

test('the environment alone can configure a node', async () => {
  const { kind } = await load(undefined, { environment: { MODEL_NAME: 'm' } })
  expect(kind).toBe('ok')
})

test('a value that is not UTF-8 is a problem on its line; a comment may be anything', async () => {
  const latin1 = (text: string) => Buffer.from(text, 'latin1')
  expect((await load(latin1(`${node}# caf\xe9\n`))).kind).toBe('ok')
  expect((await load(latin1(`${node}GPU_TYPE=caf\xe9\n`))).problems).toEqual([
    'GPU_TYPE (container.env:4): has bytes that are not UTF-8; save the file as UTF-8',
  ])
})

test('a bad drop-in is a problem of that drop-in', async () => {
  const { problems } = await load(node, { dropIns: { 'x.env': Buffer.from([0]).toString() } })
  expect(problems).toEqual(['container.env.d/x.env: is binary or UTF-16; save it as UTF-8 text'])
})

test('the unit of systemd may name several state folders; ours is the first', async () => {
  const { config } = await load(node, { environment: { STATE_DIRECTORY: '/a/b:/a/c' } })
  expect(config?.host.stateDir).toBe('/a/b')
})
