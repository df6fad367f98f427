// The daemon as a launch service alone: no model of its own and no API node, so that its two GPUs are free.
import { eventually } from '../support/eventually.ts'
import { startWorld, type World, type WorldOptions } from '../machine/world.ts'
import { model } from '../machine/asks.ts'
import { createTarget, type Target } from './target.ts'

export const accessKey = 'a key: with/odd=signs'

const standsAlone = { PORT: '', API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '', MODEL_NAME: '' }

/** Short, so that the log of a load has several pieces. */
const logChunk = '997'

export type LaunchWorld = { world: World; url: string; grpc: string; target: Target }

/** @param lastsUntil as in a world: `afterAll` where tests share it */
export async function startLaunchWorld(options: WorldOptions = {}): Promise<LaunchWorld> {
  const world = await startWorld({
    ...options,
    gpus: 2,
    set: {
      ...standsAlone,
      VLLM_ACCESS_KEY: accessKey,
      REHEARSAL_LOAD_MS: '100',
      REHEARSAL_TOKEN_MS: '3',
      VLLM_LOG_READ_CHUNK_BYTES: logChunk,
      ...options.set,
    },
    environment: { CUDA_VISIBLE_DEVICES: '0,1', ...options.environment },
    start: false,
  })
  // Under the name that the old service has for it.
  world.environment['VLLM_BOOTSTRAP_PORT'] = String(world.ports.control)
  world.start()
  const grpc = `127.0.0.1:${world.ports.grpc}`
  const target = createTarget({
    url: world.control,
    grpc,
    key: accessKey,
    model,
    embedModel: model,
    badModel: 'conformance/absent',
    gpus: [0, 1],
    patience: 60_000,
    environment: {
      CUDA_VISIBLE_DEVICES: '0,1',
      VLLM_BOOTSTRAP_PORT: String(world.ports.control),
      VLLM_GRPC_PORT: String(world.ports.grpc),
      VLLM_GRPC_LIMIT_MESSAGE_SIZE: 'false',
      VLLM_LOG_READ_CHUNK_BYTES: logChunk,
    },
    // No other launch runs while these cases do.
    async kill() {
      for (const { pid, kind } of await world.processes()) if (kind === 'engine') process.kill(pid, 'SIGKILL')
    },
    async restart() {
      await world.kill('SIGKILL')
      world.start()
      await untilAnswers(world, target)
    },
  })
  await untilAnswers(world, target)
  return { world, url: world.control, grpc, target }
}

async function untilAnswers(world: World, target: Target): Promise<void> {
  const answers = async () => (await target.call('GET', '/launch')).status === 200
  await eventually('the launch service answers', answers, 60_000, 50).catch(async (error: unknown) => {
    throw new Error((await world.log()).slice(-2000), { cause: error })
  })
  await world.untilPart('gpu', 'is counted', ({ health }) => health === 'ok')
}
