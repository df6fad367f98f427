// Launches in memory, and a door on loopback that is open to all: what the gRPC listener needs of the daemon.
import type { LaunchResponse } from '../../src/api/launches.ts'
import type { Upstream } from '../../src/engine/upstream.ts'
import type { GrpcDeps } from '../../src/grpc/start-grpc.ts'
import type { AccessJudge } from '../../src/http/access.ts'

export type FakeLaunch = Partial<LaunchResponse> & { launch_id: string; upstreams?: readonly Upstream[] }

export function createLaunches(launches: readonly FakeLaunch[]): GrpcDeps['launches'] {
  const find = (id: string) => launches.find(({ launch_id }) => launch_id === id)
  const times = { created_at: '2026-11-20T22:12:46.781225Z', updated_at: '2026-11-20T22:12:46.781225Z' }
  return {
    get(id) {
      const found = find(id)
      if (!found) return undefined
      const { upstreams: _upstreams, ...told } = found
      return { model: 'tiny', gpu_ids: [0], task: 'generate', state: 'ready', error: null, ...times, ...told }
    },
    upstreams: (id) => find(id)?.upstreams ?? [],
  }
}

export const openToAll: AccessJudge = { judge: () => 'ok', waitFor: () => 0 }

/** Any free port of loopback, without a key. */
export const onLoopback: GrpcDeps['config'] = {
  listeners: { controlHost: '127.0.0.1', accessKey: undefined, accessKeyFile: undefined },
  launches: { grpcPort: 0, limitMessageSize: false },
}
