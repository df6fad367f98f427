// Flags with a value, as numbers and times. Pure; what is not one is a UsageError that names the flag.
import { type Invocation, UsageError } from './verb.ts'

type Flags = Invocation['flags']

export function textOf(flags: Flags, name: string): string | undefined {
  const value = flags[name]
  return typeof value === 'string' ? value : undefined
}

/** A whole number of at least 1. @throws UsageError */
export function countOf(flags: Flags, name: string): number | undefined {
  const text = textOf(flags, name)
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--${name} "${text}" is no number above 0`)
  return Number(text)
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `90`, `90s`, `30m`, `1h`, `2d` → s. @throws UsageError */
export function secondsOf(flags: Flags, name: string): number | undefined {
  const text = textOf(flags, name)
  if (text === undefined) return undefined
  const found = /^(\d{1,7})([smhd])?$/.exec(text)
  const seconds = Number(found?.[1]) * (units[found?.[2] ?? 's'] ?? 1)
  if (!found || seconds === 0) throw new UsageError(`--${name} "${text}" is no duration; write 90s, 30m or 1h`)
  return seconds
}
