// The services as grpc-js takes them, from the .proto files. Loaded with the first connection, as are both libraries.
import { join } from 'node:path'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { load, type MessageTypeDefinition, type PackageDefinition } from '@grpc/proto-loader'
import type { Completion, TokenChunk } from '../api/inference.ts'
import { EncodedRequest } from './encoded-request.ts'

export type Definitions = {
  inference: ServiceDefinition
  tokens: ServiceDefinition
  health: ServiceDefinition
  reflection: readonly ServiceDefinition[]
  encodeCompletion: (message: Completion) => Buffer
  encodeToken: (message: TokenChunk) => Buffer
  /** For reflection. */
  files: readonly ProtoFile[]
}

/** One package: its encoded FileDescriptorProto, and the full names of what it defines. */
export type ProtoFile = { name: string; symbols: readonly string[]; bytes: Buffer }

export const serviceNames = {
  inference: 'vllm_bootstrap.InferenceService',
  tokens: 'vllm_bootstrap.TokenService',
  health: 'grpc.health.v1.Health',
  reflection: 'grpc.reflection.v1.ServerReflection',
  reflectionV1alpha: 'grpc.reflection.v1alpha.ServerReflection',
} as const

const protos = [
  join(import.meta.dirname, '../api/inference.proto'),
  ...['health', 'reflection', 'reflection-v1alpha'].map((name) => join(import.meta.dirname, `${name}.proto`)),
]

export async function loadDefinitions(): Promise<Definitions> {
  const found = await load(protos, { keepCase: true, longs: Number, enums: String, defaults: true, arrays: true })
  const inference = serviceOf(found, serviceNames.inference)
  const tokens = serviceOf(found, serviceNames.tokens)
  const message = found['vllm_bootstrap.Completion'] as MessageTypeDefinition<object, object>
  return {
    inference: toEncoded(inference),
    tokens: toEncoded(tokens),
    health: serviceOf(found, serviceNames.health),
    reflection: [serviceOf(found, serviceNames.reflection), serviceOf(found, serviceNames.reflectionV1alpha)],
    encodeCompletion: methodOf(inference, 'CompleteStream').responseSerialize,
    encodeToken: methodOf(tokens, 'TokenStream').responseSerialize,
    files: message.fileDescriptorProtos.map((bytes) => toFile(bytes, Object.keys(found))),
  }
}

const serviceOf = (found: PackageDefinition, name: string): ServiceDefinition => found[name] as ServiceDefinition

function methodOf(service: ServiceDefinition, name: string): ServiceDefinition[string] {
  const method = service[name]
  if (!method) throw new Error(`the .proto has no method ${name}`)
  return method
}

/**
 * Handlers get and hand over encoded messages: they are counted in bytes, decoded when there is room, and encoded one by one as results
 * come.
 */
function toEncoded(service: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(service).map(([name, method]) => [
    name,
    {
      ...method,
      requestDeserialize: (bytes: Buffer) => new EncodedRequest(bytes, method.requestDeserialize),
      responseSerialize: (message: Buffer) => message,
    },
  ])
  return Object.fromEntries(methods) as ServiceDefinition
}

/** Both names stand first in a FileDescriptorProto, as fields 1 and 2, and are short. */
function toFile(bytes: Buffer, symbols: readonly string[]): ProtoFile {
  const text = (at: number) => bytes.toString('utf8', at + 2, at + 2 + (bytes[at + 1] ?? 0))
  const name = text(0)
  const inside = text(2 + (bytes[1] ?? 0))
  const isOurs = (symbol: string) => symbol.startsWith(`${inside}.`)
  return { name, symbols: symbols.filter(isOurs), bytes }
}
