// zod fields that take and refuse what pydantic v2 takes and refuses in its lax mode: `"1"`, `2.0` and `true` are integers.
// Their `.meta()` is what stands in openapi.json.
import { z } from 'zod'
import type { Fault } from './pydantic-issues.ts'

export type FieldDoc = Readonly<Record<string, unknown>>

type Judged<T> = { value: T } | Fault

const noInteger: Fault = { type: 'int_type', msg: 'Input should be a valid integer' }
const noIntegerText: Fault = {
  type: 'int_parsing',
  msg: 'Input should be a valid integer, unable to parse string as an integer',
}
const fraction: Fault = {
  type: 'int_from_float',
  msg: 'Input should be a valid integer, got a number with a fractional part',
}
const tooLarge: Fault = {
  type: 'int_parsing_size',
  msg: 'Unable to parse input string as an integer, exceeded maximum size',
}
const noNumber: Fault = { type: 'float_type', msg: 'Input should be a valid number' }
const noNumberText: Fault = {
  type: 'float_parsing',
  msg: 'Input should be a valid number, unable to parse string as a number',
}
const noText: Fault = { type: 'string_type', msg: 'Input should be a valid string' }
const noBoolean: Fault = { type: 'bool_type', msg: 'Input should be a valid boolean' }
const noBooleanText: Fault = {
  type: 'bool_parsing',
  msg: 'Input should be a valid boolean, unable to interpret input',
}

export function integer(value: unknown): Judged<number> {
  if (typeof value === 'boolean') return { value: Number(value) }
  if (typeof value === 'string') {
    const digits = /^[+-]?\d+(?:_\d+)*(?=\.0*$|$)/.exec(value.trim())?.[0]
    return digits === undefined ? noIntegerText : { value: Number(digits.replaceAll('_', '')) }
  }
  if (typeof value !== 'number') return noInteger
  if (!Number.isFinite(value)) return { type: 'finite_number', msg: 'Input should be a finite number' }
  if (!Number.isInteger(value)) return fraction
  return Math.abs(value) < 2 ** 63 ? { value } : tooLarge
}

export function number(value: unknown): Judged<number> {
  if (typeof value === 'boolean') return { value: Number(value) }
  if (typeof value === 'number') return { value }
  if (typeof value !== 'string') return noNumber
  const text = value.trim().replaceAll(/(?<=\d)_(?=\d)/g, '')
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? { value: Number(text) } : noNumberText
}

export function text(value: unknown): Judged<string> {
  return typeof value === 'string' ? { value } : noText
}

export function boolean(value: unknown): Judged<boolean> {
  if (typeof value === 'boolean') return { value }
  if (typeof value === 'number') return value === 0 || value === 1 ? { value: value === 1 } : noBooleanText
  if (typeof value !== 'string') return noBoolean
  if (/^(?:1|true|t|yes|y|on)$/i.test(value)) return { value: true }
  return /^(?:0|false|f|no|n|off)$/i.test(value) ? { value: false } : noBooleanText
}

export function object(value: unknown): Judged<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? { value: value as Record<string, unknown> }
    : { type: 'dict_type', msg: 'Input should be a valid dictionary' }
}

/** After `judge`: a further demand on what it took. */
export function both<T>(judge: (value: unknown) => Judged<T>, more: (value: T) => Fault | undefined) {
  return (value: unknown): Judged<T> => {
    const found = judge(value)
    return 'value' in found ? (more(found.value) ?? found) : found
  }
}

export const above =
  (least: number) =>
  (value: number): Fault | undefined =>
    value > least
      ? undefined
      : { type: 'greater_than', msg: `Input should be greater than ${least}`, ctx: { gt: least } }

export const atLeast =
  (least: number) =>
  (value: number): Fault | undefined =>
    value >= least
      ? undefined
      : { type: 'greater_than_equal', msg: `Input should be greater than or equal to ${least}`, ctx: { ge: least } }

/** A field without which the body is refused. */
export function field<T>(judge: (value: unknown) => Judged<T>, doc: FieldDoc) {
  return z
    .unknown()
    .transform((value, context): T => {
      const found: Judged<T> = value === undefined ? { type: 'missing', msg: 'Field required' } : judge(value)
      if ('value' in found) return found.value
      context.issues.push({ code: 'custom', input: value, params: { fault: found }, message: found.msg })
      return z.NEVER
    })
    .meta(doc)
}

/** Each element for itself, as pydantic tells them apart. */
export function list<T>(judge: (value: unknown) => Judged<T>, doc: FieldDoc) {
  return z
    .unknown()
    .transform((value, context): T[] => {
      if (!Array.isArray(value)) {
        const fault: Fault = { type: 'list_type', msg: 'Input should be a valid list' }
        context.issues.push({ code: 'custom', input: value, params: { fault }, message: fault.msg })
        return z.NEVER
      }
      const judged = value.map((one: unknown) => judge(one))
      for (const [at, found] of judged.entries())
        if (!('value' in found))
          context.issues.push({
            code: 'custom',
            input: value[at] as unknown,
            path: [at],
            params: { fault: found },
            message: found.msg,
          })
      return judged.flatMap((found) => ('value' in found ? [found.value] : []))
    })
    .meta(doc)
}

/** null counts as not given. */
export const orNull =
  <T>(judge: (value: unknown) => Judged<T>) =>
  (value: unknown): Judged<T | null> =>
    value === null ? { value: null } : judge(value)
