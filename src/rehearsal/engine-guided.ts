// Guided decoding of the rehearsal engine: each generation knows its own spelling, and ignores the other as vLLM does (200, and
// unconstrained text). A choice and a JSON schema are kept; a regular expression and a grammar are echoed.
import type { Generation } from './engine-knobs.ts'

/** undefined: nothing that this generation understands. */
export function parseGuided(
  body: Readonly<Record<string, unknown>>,
  generation: Generation,
): { text: string } | { refused: string } | undefined {
  const isOld = generation === 'v0-overlay'
  const told = isOld ? body : body['structured_outputs']
  if (typeof told !== 'object' || told === null) return undefined
  const of = (kind: string) => (told as Record<string, unknown>)[isOld ? `guided_${kind}` : kind]
  const given = ['choice', 'json', 'regex', 'grammar'].filter((kind) => of(kind) !== undefined && of(kind) !== null)
  const kind = given[0]
  if (kind === undefined) return undefined
  if (given.length > 1) return { refused: 'You can only use one kind of structured outputs constraint' }
  const value = of(kind)
  if (kind === 'choice') return Array.isArray(value) ? { text: String(value[0]) } : { refused: 'choice must be a list' }
  if (kind !== 'json') return typeof value === 'string' ? { text: value } : { refused: `${kind} must be a string` }
  try {
    return { text: JSON.stringify(toSample(typeof value === 'string' ? JSON.parse(value) : value)) }
  } catch {
    return { refused: 'Invalid JSON schema' }
  }
}

type Schema = { type?: string; enum?: unknown[]; properties?: Record<string, unknown> }

/** The smallest value with all properties. */
function toSample(schema: unknown): unknown {
  const { type, enum: values, properties = {} } = (schema ?? {}) as Schema
  if (values) return values[0]
  const samples: Record<string, unknown> = { string: 'text', integer: 1, number: 1.5, boolean: true, array: [] }
  if (type !== undefined && type in samples) return samples[type]
  if (type === 'null') return null
  return Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, toSample(inner)]))
}
