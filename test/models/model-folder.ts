// Small but true model folders: safetensors with real headers, an index, a tokenizer.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export const shards = [
  'model-00001-of-00003.safetensors',
  'model-00002-of-00003.safetensors',
  'model-00003-of-00003.safetensors',
]

/** @param bytes of the tensor, @param written how many of them follow the header */
export function renderSafetensors(bytes: number, written = bytes): Buffer {
  const header = Buffer.from(JSON.stringify({ w: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const body = Buffer.alloc(written)
  for (let at = 0; at < written; at += 1) body[at] = (at * 31 + bytes) % 251
  return Buffer.concat([length, header, body])
}

/** Three shards of different content, `bytes` each and a little. */
export async function writeModel(folder: string, bytes = 5000): Promise<string> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'config.json'), JSON.stringify({ architectures: ['LlamaForCausalLM'] }))
  await writeFile(join(folder, 'tokenizer.json'), '{}')
  const weight_map = Object.fromEntries(shards.map((name, at) => [`w${at}`, name]))
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }))
  await Promise.all(shards.map((name, at) => writeFile(join(folder, name), renderSafetensors(bytes + at))))
  return folder
}
