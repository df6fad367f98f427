// Whether a weight file is whole, from its head alone: a safetensors header says where its last byte is.
import { open } from 'node:fs/promises'
import { messageOf } from '../core/errors.ts'

/** vLLM itself refuses larger ones. */
const maxHeader = 100_000_000

/** @returns what is wrong with it, or undefined */
export async function judgeWeightFile(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      if (size === 0) return 'is empty'
      const head = Buffer.alloc(Math.min(size, 64))
      await file.read(head, 0, head.length, 0)
      if (head.toString('latin1').startsWith('version https://git-lfs')) return 'is a git-lfs pointer, not the file'
      return path.endsWith('.safetensors') ? await judgeSafetensors(file, head, size) : undefined
    } finally {
      await file.close()
    }
  } catch (error) {
    return `cannot be read: ${messageOf(error)}`
  }
}

type Opened = Awaited<ReturnType<typeof open>>

async function judgeSafetensors(file: Opened, head: Buffer, size: number): Promise<string | undefined> {
  if (head.length < 8) return `has ${size} bytes, less than a header`
  const length = Number(head.readBigUInt64LE(0))
  if (length > maxHeader || length < 2) return 'has no safetensors header'
  if (8 + length > size) return `is truncated within its header (${size} bytes)`
  const header = Buffer.alloc(length)
  await file.read(header, 0, length, 8)
  const end = parseEnd(header.toString('utf8'))
  if (end === undefined) return 'has a damaged safetensors header'
  const wanted = 8 + length + end
  return size === wanted ? undefined : `has ${size} bytes instead of ${wanted}`
}

/** The last offset of any tensor. */
function parseEnd(header: string): number | undefined {
  try {
    const parsed = JSON.parse(header) as Record<string, { data_offsets?: unknown }>
    let end = 0
    for (const [name, tensor] of Object.entries(parsed)) {
      if (name === '__metadata__') continue
      const offsets = tensor.data_offsets
      if (!Array.isArray(offsets) || typeof offsets[1] !== 'number') return undefined
      end = Math.max(end, offsets[1])
    }
    return end
  } catch {
    return undefined
  }
}
