// Names of the launch service (contracts/control-plane.md).
import { z } from 'zod'
import { duration, flag, port, whole } from './fields.ts'

export const launchesSlice = z.object({
  grpcPort: port(
    {
      env: 'VLLM_GRPC_PORT',
      doc: 'gRPC listener of the launch service, at the address of the control listener',
    },
    8001,
  ),
  stopTimeout: duration(
    {
      env: 'VLLM_STOP_TIMEOUT_SECONDS',
      doc: 'How long the engine of a launch may take to end: a third of it for running requests, a third to end by itself, then it is killed',
      shown: '30',
    },
    30_000,
  ),
  logReadChunk: whole(
    {
      env: 'VLLM_LOG_READ_CHUNK_BYTES',
      doc: 'Most bytes of a launch log in one answer',
    },
    { min: 1, max: 1 << 28, absent: 1 << 20 },
  ),
  limitMessageSize: flag(
    {
      env: 'VLLM_GRPC_LIMIT_MESSAGE_SIZE',
      doc: 'true: gRPC messages of at most 4 MB, as a plain server has it',
    },
    false,
  ),
  most: whole(
    {
      env: 'LAUNCH_MOST',
      doc: 'So many launches may run or wait in the queue at the same time; one more is refused with 429',
    },
    { min: 1, max: 100_000, absent: 1000 },
  ),
  memoryWait: duration(
    {
      env: 'LAUNCH_MEMORY_WAIT',
      doc: 'So long a launch waits for GPU memory that another program took after it was given the GPU, then it fails; one that may queue goes back to the queue at once',
      shown: '5m',
    },
    // Below the 10 min that clients of the launch service usually wait for a model.
    300_000,
  ),
  keepCount: whole(
    { env: 'LAUNCH_KEEP', doc: 'So many launches that have ended are kept with their logs' },
    { min: 0, max: 100_000, absent: 200 },
  ),
  keepAge: duration(
    { env: 'LAUNCH_KEEP_AGE', doc: 'Launches that have ended are kept for so long', shown: '168h' },
    168 * 3_600_000,
  ),
  keepBytes: whole(
    { env: 'LAUNCH_KEEP_BYTES', doc: 'Logs of launches that have ended take at most so much of the disk' },
    { min: 0, max: 2 ** 50, absent: 2 ** 31 },
  ),
})

export type LaunchesConfig = z.output<typeof launchesSlice>
