// A request as it came. It is decoded when its call is admitted: what that takes is known before, and grpc-js keeps nothing of it.
import { CallError } from './call-error.ts'

export class EncodedRequest<T> {
  #bytes: Buffer
  readonly #decode: (bytes: Buffer) => T

  constructor(bytes: Buffer, decode: (bytes: Buffer) => T) {
    this.#bytes = bytes
    this.#decode = decode
  }

  /** Bytes of memory, decoded; counted until they are more than `most`. @throws CallError where it is no such message */
  costWithin(most: number): number {
    return costOfRequest(this.#bytes, most)
  }

  /** Once. @throws CallError where it is no such message */
  take(): T {
    const bytes = this.#bytes
    this.#bytes = Buffer.alloc(0)
    try {
      return this.#decode(bytes)
    } catch {
      throw noMessage()
    }
  }
}

/** `repeated string`, prompts or texts: field 2 of both requests. */
const list = 2
/** Of one of them, beyond its bytes: the string, its place, and what is made of it while it waits for its turn. Of others, the time. */
const entryCost = 256
/** Guided decoding may hold lists, too: of two bytes each in the message, of 32 in memory. */
const otherFactor = 16

/** By number of the field, in both requests. protobufjs reads a field as its type, whatever the wire says: it would find others than we. */
const wireTypes: readonly (number | undefined)[] = [undefined, 2, 2, 0, 5, 5, 2]

/**
 * A message of 256 MiB may be a hundred million empty prompts, or fields that nobody knows, which no heap holds and which take seconds.
 * Pure. @throws CallError where it is no such message; not for all that is none
 */
export function costOfRequest(bytes: Buffer, most: number): number {
  const cursor = new WireCursor(bytes)
  let cost = bytes.length
  while (cost <= most && cursor.at < bytes.length) {
    const key = cursor.readVarint()
    const field = key >>> 3
    if ((wireTypes[field] ?? key & 7) !== (key & 7)) throw noMessage()
    const length = cursor.skip(key & 7)
    cost += entryCost + (field === list ? 0 : length * otherFactor)
  }
  return cost
}

// As grpc-js has it.
const noMessage = () => new CallError('INTERNAL', 'Error deserializing request')

/** Bytes of the longest. */
const longestVarint = 10

/** Of the encoding of protobuf (protobuf.dev, encoding), so much as is needed to go from field to field. */
class WireCursor {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** The lower 32 bits. */
  readVarint(): number {
    let value = 0
    for (let place = 0; place < longestVarint; place += 1) {
      const byte = this.#bytes[this.at++] ?? 0
      if (place < 5) value |= (byte & 127) << (place * 7)
      if (byte < 128) return value >>> 0
    }
    throw noMessage()
  }

  /** Groups, which no message of ours has, are none. @returns the bytes of the value */
  skip(wireType: number): number {
    const start = this.at
    if (wireType === 0) this.readVarint()
    else if (wireType === 1) this.at += 8
    else if (wireType === 2) {
      const length = this.readVarint()
      this.at += length
    } else if (wireType === 5) this.at += 4
    else throw noMessage()
    return this.at - start
  }
}
