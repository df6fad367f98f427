// Whether a folder holds a whole model: checked before every launch, because a missing shard costs an engine minutes to notice.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { judgeWeightFile } from './safetensors.ts'

/** complete: weight files in load order. Otherwise each wrong file with what is wrong, `model-00003-of-00005.safetensors is missing`. */
export type Completeness =
  | { kind: 'complete'; weights: readonly string[] }
  | { kind: 'incomplete'; wrong: readonly string[] }

const weightForm = /\.(safetensors|bin|pt|gguf)$/
const tokenizerForm =
  /^(tokenizer\.(json|model)|tokenizer_config\.json|vocab\.(json|txt)|tekken\.json|.*\.tiktoken|.*\.gguf)$/

/** @param weightless configuration and tokenizer are enough (`--load-format dummy`) */
export async function judgeModelFolder(folder: string, weightless = false): Promise<Completeness> {
  const names = await readdir(folder).catch((error: unknown) => messageOf(error))
  if (typeof names === 'string') return { kind: 'incomplete', wrong: [`${folder} cannot be listed: ${names}`] }
  const wrong = await judgeDescription(folder, names)
  const weights = weightless ? { files: [], wrong: [] } : await pickWeights(folder, names)
  wrong.push(...weights.wrong)
  for (const file of weights.files) {
    const fault = await judgeWeightFile(join(folder, file))
    if (fault !== undefined) wrong.push(`${file} ${fault.startsWith('cannot be read: ENOENT') ? 'is missing' : fault}`)
  }
  return wrong.length > 0 ? { kind: 'incomplete', wrong } : { kind: 'complete', weights: weights.files }
}

async function judgeDescription(folder: string, names: readonly string[]): Promise<string[]> {
  const wrong: string[] = []
  const config = names.includes('params.json') && !names.includes('config.json') ? 'params.json' : 'config.json'
  // A gguf file holds its own configuration and tokenizer.
  if (names.some((name) => name.endsWith('.gguf'))) return wrong
  const parsed = await readParsed(join(folder, config))
  if (parsed.wrong !== undefined) wrong.push(`${config} ${parsed.wrong}`)
  if (!names.some((name) => tokenizerForm.test(name)))
    wrong.push('no tokenizer file (tokenizer.json, tokenizer.model, …) is there')
  for (const name of names.filter((one) => tokenizerForm.test(one) && one.endsWith('.json'))) {
    const found = await readParsed(join(folder, name))
    if (found.wrong !== undefined) wrong.push(`${name} ${found.wrong}`)
  }
  return wrong
}

/** The index names them all; without one, every weight file of the best kind, by name. */
async function pickWeights(folder: string, names: readonly string[]): Promise<{ files: string[]; wrong: string[] }> {
  for (const index of ['model.safetensors.index.json', 'pytorch_model.bin.index.json']) {
    if (!names.includes(index)) continue
    const { value, wrong } = await readParsed(join(folder, index))
    const files = parseIndex(value)
    if (wrong === undefined && files) return { files, wrong: [] }
    return { files: [], wrong: [`${index} ${wrong ?? 'has no weight_map'}`] }
  }
  const weights = names.filter((name) => weightForm.test(name) && !/^(training_args|optimizer|scheduler)/.test(name))
  const safetensors = weights.filter((name) => name.endsWith('.safetensors'))
  const files = (safetensors.length > 0 ? safetensors : weights).toSorted()
  const shards = judgeShardNames(files)
  return { files, wrong: files.length === 0 ? ['no weight file (*.safetensors, *.bin, *.gguf) is there'] : shards }
}

/** Distinct files by name, which is the order in which engines load them. Names that leave the folder are no index. */
export function parseIndex(value: unknown): string[] | undefined {
  if (typeof value !== 'object' || value === null || !('weight_map' in value)) return undefined
  const map = value.weight_map
  if (typeof map !== 'object' || map === null) return undefined
  const files = [...new Set(Object.values(map as Record<string, unknown>))]
  if (files.length === 0) return undefined
  const good = files.filter(
    (one): one is string => typeof one === 'string' && !one.includes('..') && !one.startsWith('/'),
  )
  return good.length === files.length ? good.toSorted() : undefined
}

/** `x-00002-of-00005`: without an index the names alone tell how many there must be. Pure. */
function judgeShardNames(files: readonly string[]): string[] {
  const found = files.map((name) => /^(.*-)(\d{5})(-of-)(\d{5})(\..+)$/.exec(name)).find((one) => one !== null)
  if (!found) return []
  const [, stem, , of, count, end] = found
  const all = Array.from(
    { length: Number(count) },
    (_, at) => `${stem}${String(at + 1).padStart(5, '0')}${of}${count}${end}`,
  )
  return all.filter((name) => !files.includes(name)).map((name) => `${name} is missing`)
}

async function readParsed(path: string): Promise<{ value?: unknown; wrong?: string }> {
  try {
    // An index of a 1T model has 20 MB; more than this is no description.
    if ((await stat(path)).size > 200_000_000) return { wrong: 'is far too large' }
    return { value: JSON.parse(await readFile(path, 'utf8')) as unknown }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { wrong: 'is missing' }
    const text = error instanceof SyntaxError ? 'is not JSON (half written?)' : `cannot be read: ${messageOf(error)}`
    return { wrong: text }
  }
}
