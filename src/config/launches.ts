// Names of the launch service (contracts/control-plane.md).
import { z } from 'zod'
import { duration, flag, port, whole } from './fields.ts'

export const launchesSlice = z.object({
  grpcPort: port(
    {
      env: 'VLLM_GRPC_PORT',
      doc: 'gRPC listener of the launch service (accepted and checked; this version has no launch service)',
    },
    8001,
  ),
  stopTimeout: duration(
    {
      env: 'VLLM_STOP_TIMEOUT_SECONDS',
      doc: 'How long a launch may take to stop (accepted and checked; this version has no launch service)',
      shown: '30',
    },
    30_000,
  ),
  logReadChunk: whole(
    {
      env: 'VLLM_LOG_READ_CHUNK_BYTES',
      doc: 'Most bytes of a launch log in one answer (accepted and checked; this version has no launch service)',
    },
    { min: 1, max: 1 << 28, absent: 1 << 20 },
  ),
  limitMessageSize: flag(
    {
      env: 'VLLM_GRPC_LIMIT_MESSAGE_SIZE',
      doc: 'true: gRPC messages of at most 4 MB, as a plain server has it (accepted and checked; this version has no launch service)',
    },
    false,
  ),
})

export type LaunchesConfig = z.output<typeof launchesSlice>
