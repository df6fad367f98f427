// The gRPC server behind the listener: services, key, limits. Loaded with the first connection: 28 MB and 150 ms that a node
// without gRPC clients never pays.
import type { Socket } from 'node:net'
import * as grpc from '@grpc/grpc-js'
import type { Log } from '../core/log.ts'
import type { Launches } from '../fleet/launches.ts'
import type { AccessJudge } from '../http/access.ts'
import { createAccess } from './access.ts'
import { type CallBounds, createCalls } from './calls.ts'
import { loadDefinitions } from './definitions.ts'
import { createHealth } from './health.ts'
import { createReflection } from './reflection.ts'
import { createWork } from './work.ts'

export type GrpcServerDeps = {
  launches: Pick<Launches, 'get' | 'upstreams'>
  access: AccessJudge
  limitMessageSize: boolean
  /** Others than the usual ones. */
  bounds?: CallBounds
  log: Log
}

export interface GrpcServer {
  /** TLS is over, if there was any. */
  accept(socket: Socket): void
  /** Clients are told to go (GOAWAY); running calls get `ms`. */
  drain(ms: number): void
  end(): void
}

/** No limit, says the contract; but a message is held as a whole, and one of gigabytes would end the daemon. */
const longestMessage = 256 * 2 ** 20

const usualOptions: grpc.ServerOptions = {
  // A peer that vanished without a word is noticed within 80 s, and its prompts end.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  // Places are limited: a client that comes back connects again by itself.
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.max_concurrent_streams': 4096,
  'grpc.enable_channelz': 0,
}

export async function createGrpcServer({
  launches,
  access,
  limitMessageSize,
  bounds,
  log,
}: GrpcServerDeps): Promise<GrpcServer> {
  const definitions = await loadDefinitions()
  const work = createWork({ launches, definitions })
  const calls = createCalls(work, log, bounds)
  const health = createHealth()
  const server = new grpc.Server({
    ...usualOptions,
    // With the limit: the library's own, 4 MB in and none out, as Python's server has it.
    ...(!limitMessageSize && { 'grpc.max_receive_message_length': longestMessage }),
    interceptors: [createAccess(grpc, access)],
  })
  server.addService(definitions.inference, calls.inference)
  server.addService(definitions.tokens, calls.tokens)
  server.addService(definitions.health, health.calls)
  for (const service of definitions.reflection) server.addService(service, createReflection(definitions.files))
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  return {
    accept: (socket) => injector.injectConnection(socket),
    drain(ms) {
      health.drain()
      injector.drain(ms)
    },
    end() {
      server.forceShutdown()
      work.end()
    },
  }
}
