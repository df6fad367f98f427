// Server reflection, v1 and v1alpha alike (github.com/grpc/grpc/blob/master/doc/server-reflection.md): grpcurl and others learn
// the services from us.
import type { ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { callCodes } from './call-error.ts'
import { type ProtoFile, serviceNames } from './definitions.ts'

type Ask = {
  host: string
  file_by_filename?: string
  file_containing_symbol?: string
  file_containing_extension?: { containing_type: string }
  all_extension_numbers_of_type?: string
  list_services?: string
}

export function createReflection(files: readonly ProtoFile[]): UntypedServiceImplementation {
  return {
    ServerReflectionInfo(call: ServerDuplexStream<Ask, object>) {
      call.on('data', (ask: Ask) => {
        const answer = { valid_host: ask.host, original_request: ask, ...answerOne(files, ask) }
        // A client that asks and does not read is not asked further.
        if (call.write(answer)) return
        call.pause()
        call.once('drain', () => call.resume())
      })
      call.on('end', () => call.end())
    },
  }
}

/** Pure. */
export function answerOne(files: readonly ProtoFile[], ask: Ask): object {
  if (ask.list_services !== undefined) {
    return { list_services_response: { service: Object.values(serviceNames).map((name) => ({ name })) } }
  }
  if (ask.file_by_filename !== undefined) {
    return answerFile(files.find(({ name }) => name === ask.file_by_filename))
  }
  if (ask.file_containing_symbol !== undefined) {
    const wanted = ask.file_containing_symbol
    return answerFile(files.find((file) => defines(file, wanted)))
  }
  // proto3 has no extensions.
  return notFound
}

/** Also what lies inside a definition: a field, a method, a value. */
function defines(file: ProtoFile, wanted: string): boolean {
  return file.symbols.some((symbol) => wanted === symbol || wanted.startsWith(`${symbol}.`))
}

function answerFile(file: ProtoFile | undefined): object {
  return file ? { file_descriptor_response: { file_descriptor_proto: [file.bytes] } } : notFound
}

const notFound = { error_response: { error_code: callCodes.NOT_FOUND, error_message: 'not found' } }
