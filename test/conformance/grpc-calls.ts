// gRPC as a client has it that was built from the published proto file, which lies beside this one.
import * as Grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { join } from 'node:path'

export type GrpcAnswer<T> = { code: string; details: string; messages: T[] }

export interface GrpcCalls {
  metadata(authorization?: string): Grpc.Metadata
  /** A unary answer is one message. Never throws for a status: it is the result. */
  ask<T>(method: string, request: object, how: { metadata: Grpc.Metadata; timeout?: number }): Promise<GrpcAnswer<T>>
  close(): void
}

type Method = (
  request: object,
  metadata: Grpc.Metadata,
  options: Grpc.CallOptions,
) => Grpc.ClientReadableStream<unknown>
type Unary = (
  request: object,
  metadata: Grpc.Metadata,
  options: Grpc.CallOptions,
  done: (error: Grpc.ServiceError | null, answer: unknown) => void,
) => unknown

export function openGrpc(address: string): GrpcCalls {
  const definition = loadSync(join(import.meta.dirname, 'reference.proto'), { keepCase: true, defaults: true })
  const { vllm_bootstrap } = Grpc.loadPackageDefinition(definition) as unknown as {
    vllm_bootstrap: { InferenceService: Grpc.ServiceClientConstructor }
  }
  const stub = new vllm_bootstrap.InferenceService(address, Grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  })
  return {
    metadata(authorization) {
      const metadata = new Grpc.Metadata()
      if (authorization !== undefined) metadata.set('authorization', authorization)
      return metadata
    },
    ask<T>(
      method: string,
      request: object,
      { metadata, timeout = 60_000 }: { metadata: Grpc.Metadata; timeout?: number },
    ) {
      const options = { deadline: Date.now() + timeout }
      return new Promise<GrpcAnswer<T>>((resolve) => {
        const messages: T[] = []
        const end = (status: { code?: number; details?: string }) =>
          resolve({ code: Grpc.status[status.code ?? 0] ?? 'UNKNOWN', details: status.details ?? '', messages })
        if (!method.endsWith('Stream')) {
          ;(stub[method] as unknown as Unary).call(stub, request, metadata, options, (error, answer) => {
            if (answer) messages.push(answer as T)
            end(error ?? {})
          })
          return
        }
        const stream = (stub[method] as unknown as Method).call(stub, request, metadata, options)
        stream.on('data', (one: T) => messages.push(one))
        stream.on('error', () => {})
        stream.on('status', end)
      })
    },
    close: () => stub.close(),
  }
}
