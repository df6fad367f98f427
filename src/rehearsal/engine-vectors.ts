// PoC vectors that anybody can compute again: a function of block hash, public key and nonce, so that coverage and honesty can be proved.
import { createHash } from 'node:crypto'

export type VectorSeed = { blockHash: string; publicKey: string; nonce: number; kDim: number }

/** A unit vector of kDim numbers as little-endian f16 in base64. */
export function renderVector(seed: VectorSeed): string {
  const numbers = Array.from({ length: seed.kDim }, (_, at) => {
    const hash = createHash('sha256').update(`${seed.blockHash}|${seed.publicKey}|${seed.nonce}|${at}`).digest()
    return hash.readUInt32LE(0) / 2 ** 31 - 1
  })
  const length = Math.hypot(...numbers) || 1
  const bytes = Buffer.alloc(seed.kDim * 2)
  numbers.forEach((number, at) => bytes.writeUInt16LE(toHalf(number / length), at * 2))
  return bytes.toString('base64')
}

/** Euclidean distance; NaN where the shapes differ or the text is no vector. */
export function judgeDistance(one: string, other: string): number {
  const [a, b] = [parseVector(one), parseVector(other)]
  if (a.length !== b.length || a.length === 0) return NaN
  return Math.hypot(...a.map((number, at) => number - (b[at] ?? NaN)))
}

export function parseVector(base64: string): number[] {
  const bytes = Buffer.from(base64, 'base64')
  return Array.from({ length: bytes.length >> 1 }, (_, at) => fromHalf(bytes.readUInt16LE(at * 2)))
}

/** Rounds toward zero; enough for numbers within [-1, 1]. */
function toHalf(number: number): number {
  const bits = new Uint32Array(new Float32Array([number]).buffer)[0] ?? 0
  const exponent = ((bits >>> 23) & 0xff) - 112
  const sign = (bits >>> 16) & 0x8000
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff)
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
