// What pydantic takes for an integer or a boolean where nobody asked it to be strict: `"5"`, `5.0` and `true` are integers, `"yes"`
// and 1 booleans. Anything else is judged as it is.
import { z } from 'zod'

export const laxInt = (schema: z.ZodInt = z.int()) => z.preprocess(toInteger, schema)

export const laxBoolean = () => z.preprocess(toBoolean, z.boolean())

function toInteger(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value)
  if (typeof value !== 'string') return value
  const digits = /^[+-]?\d+(?:_\d+)*(?=\.0*$|$)/.exec(value.trim())?.[0]
  return digits === undefined ? value : Number(digits.replaceAll('_', ''))
}

function toBoolean(value: unknown): unknown {
  if (value === 0 || value === 1) return value === 1
  if (typeof value !== 'string') return value
  if (/^(?:1|true|t|yes|y|on)$/i.test(value)) return true
  return /^(?:0|false|f|no|n|off)$/i.test(value) ? false : value
}
