// The kinds of value a variable can have. Each field is a zod schema from the raw text (or undefined: not set, or set to
// nothing) to its value; its .meta() names the variable and documents it, and is what README and the example are made from.
// Messages read `what is wrong; what to write instead` and never hold the value of a secret.
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
  /** Also goes on to engines as it is. Any other variable that is a field stays here. */
  passOn?: boolean
}

const raw = z.string().optional()

const isWrongs = (value: unknown): value is Wrong[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => one instanceof Wrong)

/** What is wrong with a value, as opposed to the value: texts are values too. */
export class Wrong {
  readonly message: string
  /** Where in the value, of one that has parts. */
  readonly path: readonly PropertyKey[]
  constructor(message: string, path: readonly PropertyKey[] = []) {
    this.message = message
    this.path = path
  }
}

/** Blanks at the ends never count: they come from quoting, and no setting means anything by them. */
function parsed<T>(meta: FieldMeta, parse: (text: string) => T | Wrong | Wrong[], absent: T) {
  return raw
    .transform((given, context): T => {
      const text = given?.trim()
      if (text === undefined || text === '') return absent
      const value = parse(text)
      const wrong = value instanceof Wrong ? [value] : isWrongs(value) ? value : []
      for (const { message, path } of wrong) context.addIssue({ code: 'custom', message, path: [...path] })
      return wrong.length > 0 ? z.NEVER : (value as T)
    })
    .meta(meta)
}

export const text = (meta: FieldMeta, absent?: string) => parsed<string | undefined>(meta, (value) => value, absent)

export const textOr = (meta: FieldMeta, absent: string) =>
  parsed<string>({ shown: absent, ...meta }, (value) => value, absent)

/** A key or token. The literal that the old scripts shipped as their default is known to everybody and refused (P31). */
export const secret = (meta: FieldMeta) =>
  parsed<string | undefined>(
    { ...meta, secret: true },
    (value) =>
      value === 'SIGNATURE'
        ? new Wrong(
            'is the literal that a public repository ships as its default; write a key of your own, or remove it',
          )
        : value,
    undefined,
  )

/** Matches `form` or is refused with `remedy`. */
export const pattern = (meta: FieldMeta, form: RegExp, remedy: string) =>
  parsed<string | undefined>(meta, (value) => (form.test(value) ? value : new Wrong(remedy)), undefined)

export const patternOr = (meta: FieldMeta, absent: string, { form, remedy }: { form: RegExp; remedy: string }) =>
  parsed<string>({ shown: absent, ...meta }, (value) => (form.test(value) ? value : new Wrong(remedy)), absent)

/** An absolute folder. `~` and `$HOME` are for a shell, and no shell reads the file. */
export const folder = (meta: FieldMeta) => parsed<string | undefined>(meta, absolute, undefined)

export const file = (meta: FieldMeta) => parsed<string | undefined>(meta, absolute, undefined)

export const fileOr = (meta: FieldMeta, absent: string) => parsed<string>({ shown: absent, ...meta }, absolute, absent)

export const folderOr = (meta: FieldMeta, absent: string) =>
  parsed<string>({ shown: absent, ...meta }, absolute, absent)

/** A folder that systemd hands over as a list `a:b` when the unit names several: the first is ours. */
export const systemdFolder = (meta: FieldMeta, absent: string) =>
  parsed<string>({ shown: absent, ...meta }, (value) => absolute(value.split(':')[0] ?? ''), absent)

/** A host name or address without scheme and port; IPv6 with or without brackets → without. */
export const host = (meta: FieldMeta) => parsed<string | undefined>(meta, bareHost, undefined)

export const hostOr = (meta: FieldMeta, absent: string) => parsed<string>({ shown: absent, ...meta }, bareHost, absent)

/** Comma separated, without ports. */
export const hostNames = (meta: FieldMeta) =>
  parsed<string[]>(
    meta,
    (value) => {
      const names = value.split(',').flatMap((one) => (one.trim() === '' ? [] : [bareHost(one.trim())]))
      return names.find((one) => one instanceof Wrong) ?? (names as string[])
    },
    [],
  )

export function flag(meta: FieldMeta, absent: boolean) {
  return parsed<boolean>(
    { shown: String(absent), ...meta },
    (value) => {
      if (/^(1|true|yes|on)$/i.test(value)) return true
      if (/^(0|false|no|off)$/i.test(value)) return false
      return new Wrong(`"${value}" is neither true nor false; write true or false`)
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

/** A number above 0 and at most 1, kept as it was written: it goes on to a command line. */
export function fraction(meta: FieldMeta) {
  return parsed<string | undefined>(
    meta,
    (value) =>
      /^(\d+(\.\d*)?|\.\d+)$/.test(value) && Number(value) > 0 && Number(value) <= 1
        ? value
        : new Wrong(`"${value}" is not a number above 0 and at most 1; write for example 0.9`),
    undefined,
  )
}

/** `30s`, `5m`, `250ms`, `1h` or bare seconds → ms. */
export function duration(meta: FieldMeta, absentMs: number) {
  return parsed<number>(
    meta,
    (value) => {
      const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value)
      if (!match) return new Wrong(`"${value}" is not a duration; write 30s, 5m, 250ms or 1h`)
      const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1000
      const ms = Math.round(Number(match[1]) * unit)
      // A timer of more than 2^31 ms fires at once.
      return ms < 2 ** 31 ? ms : new Wrong(`"${value}" is longer than 24 days; write a shorter one`)
    },
    absentMs,
  )
}

/** `0,1`, `0-3` or both, sorted; undefined where not set. */
export function indices(meta: FieldMeta) {
  return parsed<readonly number[] | undefined>(meta, parseIndices, undefined)
}

/** `0,2-3` → 0, 2, 3: each once, in order. Pure; the command line takes them too. */
export function parseIndices(value: string): number[] | Wrong {
  const found = new Set<number>()
  for (const word of value.split(',').map((one) => one.trim())) {
    const range = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(word)
    const [first, last] = [Number(range?.[1]), Number(range?.[2] ?? range?.[1])]
    if (!range || last < first) return new Wrong(`"${word}" is no index; write indices such as 0,1 or 0-3`)
    for (let index = first; index <= last; index += 1) found.add(index)
  }
  return [...found].toSorted((a, b) => a - b)
}

export function choice<const T extends string>(meta: FieldMeta, values: readonly T[], absent: T | undefined) {
  return parsed<T | undefined>(
    meta,
    (value) =>
      values.find((one) => one === value) ?? new Wrong(`"${value}" is unknown; write one of ${values.join(', ')}`),
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
        if (typeof found === 'string')
          return new Wrong(found.includes(';') ? found : `${found}; write host:port, IPv6 in brackets`)
        if (list.some((one) => one.host === found.host && one.port === found.port))
          return new Wrong(`"${item}" is listed twice; remove one`)
        list.push(found)
      }
      return list.length > 0 ? list : new Wrong(`"${value}" names nobody; write host:port, comma separated`)
    },
    [],
  )
}

/** What `check` finds is told with its place in the object. */
export function jsonObject(
  meta: FieldMeta,
  check: (value: Record<string, unknown>) => readonly { path: readonly PropertyKey[]; message: string }[],
) {
  return parsed<Record<string, unknown> | undefined>(
    meta,
    (value) => {
      try {
        const found: unknown = JSON.parse(value)
        if (typeof found !== 'object' || found === null || Array.isArray(found))
          return new Wrong('is not a JSON object; write {"id":…} between single quotes')
        const wrong = check(found as Record<string, unknown>)
        return wrong.length > 0
          ? wrong.map(({ path, message }) => new Wrong(message, path))
          : (found as Record<string, unknown>)
      } catch (error) {
        // The parser's message quotes the text, which may hold a token: only the place is told.
        const place = /at position \d+/.exec((error as Error).message)?.[0]
        return new Wrong(`is not JSON${place ? ` (${place})` : ''}; write {"id":…} between single quotes, on one line`)
      }
    },
    undefined,
  )
}

/** Shell-like words: blanks separate, single and double quotes group, backslash escapes outside single quotes. */
export function words(meta: FieldMeta, check: (words: string[]) => string | undefined = () => undefined) {
  return parsed<string[]>(
    meta,
    (value) => {
      const found = splitWords(value)
      if (!found) return new Wrong('has a quote that is not closed; close it, or put the whole value in single quotes')
      const wrong = check(found)
      return wrong ? new Wrong(wrong) : found
    },
    [],
  )
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

function wholeNumber(value: string, { min, max }: { min: number; max: number }): number | Wrong {
  if (!/^-?\d+$/.test(value)) return new Wrong(`"${value}" is not a whole number; write one from ${min} to ${max}`)
  const number = Number(value)
  return number >= min && number <= max
    ? number
    : new Wrong(`${value} is outside ${min}..${max}; write one from ${min} to ${max}`)
}

function absolute(value: string): string | Wrong {
  return value.startsWith('/')
    ? value.replace(/(?<=.)\/+$/, '')
    : new Wrong(`"${value}" is not an absolute path; write it out from /, without ~ and $`)
}

function bareHost(value: string): string | Wrong {
  const inner = /^\[([0-9a-fA-F:.%]+)\]$/.exec(value)?.[1] ?? value
  const isName = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?$/.test(inner)
  const isIpv6 = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(%\w+)?$/.test(inner)
  return isName || isIpv6
    ? inner
    : new Wrong(`"${value}" is not a host name or address; write it without scheme, port and path`)
}
