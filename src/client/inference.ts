// Calls over gRPC. The library is loaded at the first one: whoever only uses REST does not pay for it. Every call has a deadline; a
// reader that leaves a stream cancels it at the service.
import type * as Grpc from '@grpc/grpc-js'
import * as tlsModule from 'node:tls'
import { fileURLToPath } from 'node:url'
import { InferenceError, WaitTimeoutError } from './errors.ts'

export type InferenceAddress = {
  target: string
  tls: boolean
  accessKey: string | undefined
  ca?: string | Buffer | undefined
}

export type Call = {
  /** ms until the whole answer is there; 10 minutes where not said. */
  timeout?: number | undefined
  signal?: AbortSignal | undefined
}

export interface Inference {
  /** @throws InferenceError, WaitTimeoutError, the reason of `signal` */
  ask<T>(method: Method, request: object, call: Call): Promise<T>
  /** As fast as it is read. @throws as ask() */
  stream<T>(method: Method, request: object, call: Call): AsyncGenerator<T>
  close(): void
}

const patience = 600_000
const proto = new URL('../api/inference.proto', import.meta.url)

export const inferenceService = 'vllm_bootstrap.InferenceService'
export const tokenService = 'vllm_bootstrap.TokenService'

type Service = typeof inferenceService | typeof tokenService
export type Method = `${Service}/${string}`

type Codec = { encode: (value: object) => Buffer; decode: (bytes: Buffer) => unknown }

type Open = { grpc: typeof Grpc; channel: Grpc.Client; codecs: ReadonlyMap<string, Codec> }

export function createInference(address: InferenceAddress): Inference {
  const held: { open?: Promise<Open> } = {}
  const prepare = async (method: Method, call: Call) => {
    call.signal?.throwIfAborted()
    const { grpc, channel, codecs } = await (held.open ??= load(address))
    const codec = codecs.get(method)
    if (!codec) throw new Error(`${method} is no method of the service`)
    const metadata = new grpc.Metadata()
    if (address.accessKey) metadata.set('authorization', `Bearer ${address.accessKey}`)
    return { grpc, channel, codec, metadata, options: { deadline: Date.now() + (call.timeout ?? patience) } }
  }
  return {
    async ask<T>(method: Method, request: object, call: Call): Promise<T> {
      const { grpc, channel, codec, metadata, options } = await prepare(method, call)
      const running: { call?: Grpc.ClientUnaryCall } = {}
      const unwatch = whenAborted(call.signal, () => running.call?.cancel())
      try {
        return await new Promise<T>((resolve, reject) => {
          const { encode, decode } = codec
          running.call = channel.makeUnaryRequest(
            `/${method}`,
            encode,
            decode,
            request,
            metadata,
            options,
            (error, answer) => (error ? reject(error) : resolve(answer as T)),
          )
        })
      } catch (error) {
        throw translate(error, { grpc, method, address, call })
      } finally {
        unwatch()
      }
    },
    async *stream<T>(method: Method, request: object, call: Call): AsyncGenerator<T> {
      const { grpc, channel, codec, metadata, options } = await prepare(method, call)
      const { encode, decode } = codec
      const running = channel.makeServerStreamRequest(`/${method}`, encode, decode, request, metadata, options)
      // Its end after a cancel is told as an error to nobody else.
      running.on('error', () => {})
      const unwatch = whenAborted(call.signal, () => running.cancel())
      try {
        for await (const one of running) yield one as T
      } catch (error) {
        throw translate(error, { grpc, method, address, call })
      } finally {
        unwatch()
        running.cancel()
      }
    },
    close() {
      void held.open?.then(
        ({ channel }) => channel.close(),
        () => {},
      )
      delete held.open
    },
  }
}

async function load({ target, tls, ca }: InferenceAddress): Promise<Open> {
  const [grpc, loader] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')])
  const how = { keepCase: true, longs: Number, defaults: true, oneofs: true }
  const packages = await loader.load(fileURLToPath(proto), how)
  const credentials = tls
    ? grpc.credentials.createSsl(ca === undefined ? readRoots() : Buffer.from(ca))
    : grpc.credentials.createInsecure()
  const unlimited = { 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 }
  const codecs = [inferenceService, tokenService].flatMap((service) =>
    Object.values(packages[service] as Grpc.ServiceDefinition).map(
      ({ path, requestSerialize, responseDeserialize }) => {
        const codec: Codec = { encode: requestSerialize, decode: responseDeserialize }
        return [path.slice(1), codec] as const
      },
    ),
  )
  return { grpc, channel: new grpc.Client(target, credentials, unlimited), codecs: new Map(codecs) }
}

/** Those that fetch trusts, NODE_EXTRA_CA_CERTS included; before Node.js 22.15 those that the library trusts. */
function readRoots(): Buffer | null {
  return 'getCACertificates' in tlsModule ? Buffer.from(tlsModule.getCACertificates('default').join('\n')) : null
}

type Where = { grpc: typeof Grpc; method: Method; address: InferenceAddress; call: Call }

function translate(error: unknown, { grpc, method, address, call }: Where): unknown {
  if (call.signal?.aborted) return call.signal.reason
  const { code, details } = error as Partial<Grpc.ServiceError>
  if (typeof code !== 'number') return error
  const what = `${method} at ${address.target}`
  if (code === grpc.status.DEADLINE_EXCEEDED) return new WaitTimeoutError(what, call.timeout ?? patience)
  return new InferenceError(what, { status: code, code: grpc.status[code] ?? 'UNKNOWN', detail: details ?? '' }, error)
}

function whenAborted(signal: AbortSignal | undefined, act: () => void): () => void {
  signal?.addEventListener('abort', act)
  return () => signal?.removeEventListener('abort', act)
}
