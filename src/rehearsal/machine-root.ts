// The machine of a rehearsal: a temporary root with an env file, a model, GPUs, a vLLM environment and frp programs.
import { randomBytes } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { writeVenv } from './engine-venv.ts'
import { pickClientId, type Ports } from './free-ports.ts'
import { writeProgram } from './program.ts'

export const rehearsalModel = 'rehearsal/tiny-1b'

export type MachineWishes = {
  gpus: number
  tensorParallel: number
  /** Instead of the rehearsal engine: a Python of a real vLLM environment, or any program that takes its command line. */
  engine?: string | undefined
  /** More variables for the env file; they win. */
  set: Readonly<Record<string, string>>
}

export type MachineRoot = {
  folder: string
  envFile: string
  socket: string
  /** GPU state shared by engines and nvidia-smi; its file `knobs` turns the GPUs' knobs. */
  gpuState: string
  frps: { program: string; real: boolean; config: string }
  /** What systemd sets besides the file: without it the daemon must not fall back to the folders of a real one. */
  folders: Readonly<Record<string, string>>
}

/** Of a unit; all that a daemon without a configuration writes to. */
const folderVariables = ['STATE_DIRECTORY', 'RUNTIME_DIRECTORY', 'LOG_DIR']

/** Where the outside world is; `host` is the frp server's. */
type Places = { ports: Ports; host: string; metadataUrl: string }

export async function writeMachine(wishes: MachineWishes, { ports, host, metadataUrl }: Places): Promise<MachineRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'gonka-rehearsal-'))
  // On a full disk it ends half way.
  await using half = new AsyncDisposableStack()
  half.defer(() => rm(folder, { recursive: true, force: true }))
  const path = (name: string) => join(folder, name)
  for (const name of ['bin', 'gpu', 'state', 'run', 'log']) await mkdir(path(name))
  await writeModel(path('huggingface'))
  const frps = await pickFrp('frps', path('bin'))
  const frpc = await pickFrp('frpc', path('bin'))
  // Of its own: a frps of another rehearsal must refuse us.
  const token = randomBytes(12).toString('hex')
  await writeFile(path('frps.toml'), renderFrps({ port: ports.frps, host, token }), { mode: 0o600 })
  const gpuState = path('gpu')
  const knobs = { REHEARSAL_GPU_STATE: gpuState, REHEARSAL_SMI_GPUS: String(wishes.gpus) }
  const smi = await writeProgram(path('bin/nvidia-smi'), join(import.meta.dirname, 'nvidia-smi.ts'), knobs)
  const python = wishes.engine ?? (await writeVenv(path('venv'), 'v1-overlay'))
  const variables: Record<string, string> = {
    API_NODES: `127.0.0.1:${ports.admin}`,
    CLIENT_ID: wishes.set['CLIENT_ID'] ?? (await pickClientId(host)),
    FRP_SERVERS: `${host}:${ports.frps}`,
    SECRET_FRP_TOKEN: token,
    MODEL_NAME: rehearsalModel,
    TENSOR_PARALLEL_SIZE: String(wishes.tensorParallel),
    HF_HOME: path('huggingface'),
    HF_HUB_OFFLINE: '1',
    VLLM_PYTHON_PATH: python,
    VLLM_CACHE_ROOT: path('vllm-cache'),
    NODE_PORT: String(ports.node),
    INFERENCE_PORT: String(ports.inference),
    INFERENCE_MAX_INSTANCES: String(Math.max(1, wishes.gpus)),
    PORT: String(ports.control),
    VLLM_GRPC_PORT: String(ports.grpc),
    STATE_DIRECTORY: path('state'),
    RUNTIME_DIRECTORY: path('run'),
    LOG_DIR: path('log'),
    FRPC_PATH: frpc.program,
    NVIDIA_SMI_PATH: wishes.gpus === 0 ? path('bin/no-nvidia-smi') : smi,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: metadataUrl,
    REHEARSAL_GPU_STATE: gpuState,
    REHEARSAL_STATE: path('gpu'),
    ...(wishes.engine === undefined ? { REHEARSAL_LOAD_MS: '2500' } : {}),
    ...wishes.set,
  }
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${quote(value)}`)
  await writeFile(path('gonka-container.env'), `${lines.join('\n')}\n`, { mode: 0o600 })
  half.move()
  return {
    folder,
    envFile: path('gonka-container.env'),
    socket: path('run/control.sock'),
    gpuState,
    frps: { ...frps, config: path('frps.toml') },
    folders: Object.fromEntries(folderVariables.map((name) => [name, variables[name] ?? ''])),
  }
}

/** The portable spelling; values with a single quote are refused by it and have no place in a rehearsal. */
const quote = (value: string) => (/^[A-Za-z0-9_./:@%+,=-]*$/.test(value) ? value : `'${value}'`)

/** The real one from PATH is preferred; ours carries TCP as well. */
async function pickFrp(name: 'frps' | 'frpc', bin: string): Promise<{ program: string; real: boolean }> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const program = join(folder, name)
    if (folder !== '' && isExecutable(program)) return { program, real: true }
  }
  return { program: await writeProgram(join(bin, name), join(import.meta.dirname, `${name}.ts`)), real: false }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const renderFrps = ({ port, host, token }: { port: number; host: string; token: string }) => `bindAddr = "${host}"
bindPort = ${port}
proxyBindAddr = "${host}"
detailedErrorsToClient = true
log.disablePrintColor = true
auth.token = "${token}"
allowPorts = [{ start = 10000, end = 29999 }]
`

/** A model in the layout of the hub's cache, with the smallest files that pass for complete. */
async function writeModel(hfHome: string): Promise<void> {
  const commit = '0123456789abcdef0123456789abcdef01234567'
  const repo = join(hfHome, 'hub', `models--${rehearsalModel.replace('/', '--')}`)
  const snapshot = join(repo, 'snapshots', commit)
  await mkdir(snapshot, { recursive: true })
  await mkdir(join(repo, 'refs'))
  await writeFile(join(repo, 'refs', 'main'), commit)
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 32_000,
    max_position_embeddings: 4096,
  }
  await writeFile(join(snapshot, 'config.json'), JSON.stringify(config))
  await writeFile(join(snapshot, 'tokenizer.json'), '{}')
  await writeFile(join(snapshot, 'tokenizer_config.json'), '{}')
  await writeFile(join(snapshot, 'model.safetensors'), renderWeights(1 << 20))
}

function renderWeights(bytes: number): Buffer {
  const header = Buffer.from(JSON.stringify({ weight: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, Buffer.alloc(bytes)])
}
