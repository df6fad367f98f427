// The kinds of value a variable can have. Each field is a zod schema from the raw text (or undefined: not set, or set to
// nothing) to its value; its .meta() names the variable and documents it, and is what README and the example are made from.
import { z } from 'zod'
import { type HostPort, parseHostPort } from '../core/host-port.ts'

export type FieldMeta = {
  env: string
  /** Other accepted names of the same thing; two that are set and differ are an error. */
  aliases?: string[]
  doc: string
  /** Shown in README and the example; the schema's own default is what counts. */
  shown?: string
  secret?: boolean
}

const raw = z.string().optional()

function parsed<T>(meta: FieldMeta, parse: (text: string) => T | Problem, absent: T) {
  return raw
    .transform((text, context): T => {
      if (text === undefined || text === '') return absent
      const value = parse(text)
      if (!(value instanceof Problem)) return value
      context.addIssue({ code: 'custom', message: value.message })
      return z.NEVER
    })
    .meta(meta)
}

class Problem {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export const text = (meta: FieldMeta, absent?: string) => parsed<string | undefined>(meta, (value) => value, absent)

export const textOr = (meta: FieldMeta, absent: string) =>
  parsed<string>({ shown: absent, ...meta }, (value) => value, absent)

/** Matches `pattern` or is refused with `remedy`. */
export const pattern = (meta: FieldMeta, form: RegExp, remedy: string) =>
  parsed<string | undefined>(meta, (value) => (form.test(value) ? value : new Problem(remedy)), undefined)

export function flag(meta: FieldMeta, absent: boolean) {
  return parsed<boolean>(
    { shown: String(absent), ...meta },
    (value) => {
      if (/^(1|true|yes|on)$/i.test(value)) return true
      if (/^(0|false|no|off)$/i.test(value)) return false
      return new Problem(`"${value}" is neither true nor false; write true or false`)
    },
    absent,
  )
}

export function whole(meta: FieldMeta, limits: { min: number; max: number; absent: number }) {
  return parsed<number>({ shown: String(limits.absent), ...meta }, (value) => wholeNumber(value, limits), limits.absent)
}

export function optionalWhole(meta: FieldMeta, limits: { min: number; max: number }) {
  return parsed<number | undefined>(meta, (value) => wholeNumber(value, limits), undefined)
}

export const port = (meta: FieldMeta, absent: number) => whole(meta, { min: 1, max: 65535, absent })

/** `30s`, `5m`, `250ms`, `1h` or bare seconds → ms. */
export function duration(meta: FieldMeta, absentMs: number) {
  return parsed<number>(
    meta,
    (value) => {
      const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value)
      if (!match) return new Problem(`"${value}" is not a duration; write 30s, 5m, 250ms or 1h`)
      const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1000
      return Number(match[1]) * unit
    },
    absentMs,
  )
}

export function choice<const T extends string>(meta: FieldMeta, values: readonly T[], absent: T | undefined) {
  return parsed<T | undefined>(
    meta,
    (value) =>
      values.find((one) => one === value) ?? new Problem(`"${value}" is unknown; write one of ${values.join(', ')}`),
    absent,
  )
}

export function hostPorts(meta: FieldMeta) {
  return parsed<HostPort[]>(
    meta,
    (value) => {
      const list: HostPort[] = []
      for (const item of value.split(',').map((one) => one.trim())) {
        if (item === '') continue
        const found = parseHostPort(item)
        if (typeof found === 'string') return new Problem(found)
        if (list.some((one) => one.host === found.host && one.port === found.port))
          return new Problem(`"${item}" is listed twice`)
        list.push(found)
      }
      return list
    },
    [],
  )
}

export function jsonObject(meta: FieldMeta, check: (value: Record<string, unknown>) => string | undefined) {
  return parsed<Record<string, unknown> | undefined>(
    meta,
    (value) => {
      try {
        const found: unknown = JSON.parse(value)
        if (typeof found !== 'object' || found === null || Array.isArray(found))
          return new Problem('is not a JSON object')
        const wrong = check(found as Record<string, unknown>)
        return wrong ? new Problem(wrong) : (found as Record<string, unknown>)
      } catch (error) {
        return new Problem(`is not JSON: ${(error as Error).message}; in an env file quote it with single quotes`)
      }
    },
    undefined,
  )
}

/** Shell-like words: blanks separate, single and double quotes group, backslash escapes outside single quotes. */
export function words(meta: FieldMeta) {
  return parsed<string[]>(meta, (value) => splitWords(value) ?? new Problem('has a quote that is not closed'), [])
}

export function splitWords(value: string): string[] | undefined {
  const out: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < value.length; at += 1) {
    const char = value[at] as string
    if (quote) {
      if (char === quote) quote = ''
      else if (char === '\\' && quote === '"' && /["\\$`]/.test(value[at + 1] ?? ''))
        word = (word ?? '') + (value[++at] as string)
      else word = (word ?? '') + char
    } else if (char === "'" || char === '"') {
      quote = char
      word ??= ''
    } else if (char === '\\' && at + 1 < value.length) word = (word ?? '') + (value[++at] as string)
    else if (/\s/.test(char)) {
      if (word !== undefined) out.push(word)
      word = undefined
    } else word = (word ?? '') + char
  }
  if (word !== undefined) out.push(word)
  return quote ? undefined : out
}

function wholeNumber(value: string, { min, max }: { min: number; max: number }): number | Problem {
  if (!/^-?\d+$/.test(value)) return new Problem(`"${value}" is not a whole number; write one from ${min} to ${max}`)
  const number = Number(value)
  return number >= min && number <= max ? number : new Problem(`${value} is outside ${min}..${max}`)
}
