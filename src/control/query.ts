// Parameters of a query as FastAPI takes them: the last one counts, and what is wrong is a 422 with `loc: ["query", name]`.
import { InvalidBody } from '../http/json-app.ts'
import { atLeast, boolean, both, integer } from '../http/pydantic-fields.ts'
import type { Fault } from '../http/pydantic-issues.ts'

/** 0 and above. @throws InvalidBody */
export function readOffset(query: URLSearchParams): number {
  // Larger than any file: what is beyond an end is clamped anyway.
  return Math.min(read(query, 'offset', both(integer, atLeast(0)), 0), Number.MAX_SAFE_INTEGER)
}

/** false where not given. @throws InvalidBody */
export function readFlag(query: URLSearchParams, name: string): boolean {
  return read(query, name, boolean, false)
}

function read<T>(query: URLSearchParams, name: string, judge: (value: unknown) => { value: T } | Fault, absent: T): T {
  const given = query.getAll(name).at(-1)
  if (given === undefined) return absent
  const found = judge(given)
  if ('value' in found) return found.value
  const { type, msg, ctx } = found
  throw new InvalidBody([{ type, loc: ['query', name], msg, input: given, ...(ctx && { ctx }) }])
}
