// A request as it came. It is decoded when its call is admitted: what that takes is known before, and grpc-js keeps nothing of it.
import { CallError } from './call-error.ts'

export class EncodedRequest<T> {
  #bytes: Buffer
  readonly #decode: (bytes: Buffer) => T

  constructor(bytes: Buffer, decode: (bytes: Buffer) => T) {
    this.#bytes = bytes
    this.#decode = decode
  }

  /** Bytes of memory, decoded; counted until they are more than `most`. */
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
      // As grpc-js has it.
      throw new CallError('INTERNAL', 'Error deserializing request')
    }
  }
}

/** `repeated string`, prompts or texts: field 2 of both requests. */
const list = 2
/** Of one of them, beyond its bytes: the string, its place, and what is made of it while it waits for its turn. */
const entryCost = 256
/** Guided decoding may hold lists, too: of two bytes each in the message, of 32 in memory. */
const otherFactor = 16

/**
 * A message of 256 MiB may be a hundred million empty prompts, which no heap holds. Pure; what is no message costs its bytes, and fails
 * where it is decoded.
 */
export function costOfRequest(bytes: Buffer, most: number): number {
  const cursor = new WireCursor(bytes)
  let cost = bytes.length
  while (cost <= most && cursor.at < bytes.length) {
    const key = cursor.readVarint()
    const length = cursor.skip(key & 7)
    cost += key >>> 3 === list ? entryCost : length * otherFactor
  }
  return cost
}

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
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0
      if (shift < 32) value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
  }

  /** @returns the bytes of the value */
  skip(wireType: number): number {
    const start = this.at
    const length = wireType === 0 || wireType === 2 ? this.readVarint() : 0
    if (wireType === 1) this.at += 8
    else if (wireType === 2) this.at += length
    else if (wireType === 5) this.at += 4
    return this.at - start
  }
}
