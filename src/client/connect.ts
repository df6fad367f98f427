// The client of the launch service: REST for launches, gRPC for inference. Talks to gonka-node and to the vllm-bootstrap service.
import { z } from 'zod'
import { type LaunchResponse, launchResponse } from '../api/launches.ts'
import { createInference } from './inference.ts'
import { type Launch, type OwnLaunch, createLaunch } from './launch.ts'
import { type LaunchWish, toLaunchRequest } from './request.ts'
import { createRest } from './rest.ts'
import { type SystemStats, systemStats } from '../api/stats.ts'

export type ConnectOptions = {
  /** Of the control listener: `http://127.0.0.1:8000`. */
  baseUrl: string
  accessKey?: string | undefined
  /** `host:port`; the host of `baseUrl` and the port after its own where not said. */
  grpcAddress?: string | undefined
  /** gRPC with TLS; as `baseUrl` where no `grpcAddress` is given. */
  grpcTls?: boolean | undefined
  /**
   * PEM of a private authority, or of the service's own certificate: the only ones trusted then, by REST and gRPC. Without it
   * NODE_EXTRA_CA_CERTS counts too (for gRPC from Node.js 22.15 on).
   */
  ca?: string | Buffer | undefined
  /** Of one REST call, ms; 30,000 where not said. */
  timeout?: number | undefined
}

export interface LaunchClient extends Disposable {
  /** Takes the GPUs and returns at once; the model loads from then on. @throws RequestError 400, 409, 422 */
  launch(wish: LaunchWish): Promise<OwnLaunch>
  /** One that is there already; nothing stops it but `stop()`. @throws RequestError 404 */
  find(id: string): Promise<Launch>
  /** Oldest first; ended ones only when asked for. */
  launches(options?: { includeTerminal?: boolean }): Promise<LaunchResponse[]>
  stats(): Promise<SystemStats>
  /** Closes the gRPC channel; the next call opens another. */
  close(): void
}

export function connect(options: ConnectOptions): LaunchClient {
  const { baseUrl, accessKey, ca, timeout = 30_000 } = options
  const url = new URL(baseUrl)
  const rest = createRest({ baseUrl, accessKey, ca, timeout })
  const inference = createInference({
    target: options.grpcAddress ?? `${url.hostname}:${Number(url.port || 8000) + 1}`,
    tls: options.grpcTls ?? (options.grpcAddress === undefined && url.protocol === 'https:'),
    accessKey,
    ca,
  })
  const deps = { rest, inference, baseUrl }
  const close = () => inference.close()
  return {
    async launch(wish) {
      const body = toLaunchRequest(wish)
      return createLaunch(await rest.ask('POST /launch', launchResponse, { body }), deps)
    },
    async find(id) {
      return createLaunch(await rest.ask(`GET /status/${encodeURIComponent(id)}`, launchResponse), deps)
    },
    launches({ includeTerminal } = {}) {
      const query = { include_terminal: includeTerminal ? true : undefined }
      return rest.ask('GET /launch', z.array(launchResponse), { query })
    },
    stats: () => rest.ask('GET /stats', systemStats),
    close,
    [Symbol.dispose]: close,
  }
}
