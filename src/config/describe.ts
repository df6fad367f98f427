// The configuration for a person: every variable with its value in force, where that comes from and what it means. Pure.
import { createSecrets } from '../core/secrets.ts'
import { engineVariable } from './engine-env.ts'
import { type Field, fields, type SliceName } from './field-table.ts'
import { type Origin, renderOrigin } from './finding.ts'
import type { Given } from './given.ts'
import { settingOf } from './judge.ts'
import { isSecretName, secretsOfGiven } from './secrets-of.ts'
import { unusedVariables } from './unused-variables.ts'

/** One variable, JSON-safe. */
export type Described = {
  /** The name that is set: an alias where that was used. */
  name: string
  part: SliceName | 'engines' | 'unused'
  /** As written, or the built-in default; '' where neither. Secrets are `[redacted]`. */
  value: string
  origin: Origin
  doc: string
  secret: boolean
}

/** Fields in order of the schema, then what goes on to engines, then what is accepted and not used (where set). */
export function describeConfig(given: Given): Described[] {
  const secrets = createSecrets()
  for (const value of secretsOfGiven(given)) secrets.add(value)
  const redact = (name: string, value: string) => (isSecretName(name) ? '[redacted]' : secrets.redact(value))
  const own = fields.map((field) => describeField(field, given, redact))
  const others = [...given].flatMap(([name, { value, origin }]): Described[] => {
    const unused = unusedVariables[name]
    const isField = fields.some((field) => field.names.includes(name))
    if (isField || !(unused || engineVariable(name))) return []
    const part = unused ? ('unused' as const) : ('engines' as const)
    const doc = unused ? `Not used: ${unused.why}` : 'Goes on to engines as it is'
    return [{ name, part, value: redact(name, value), origin, doc, secret: isSecretName(name) }]
  })
  return [...own, ...others.sort((a, b) => a.part.localeCompare(b.part) || a.name.localeCompare(b.name))]
}

function describeField(field: Field, given: Given, redact: (name: string, value: string) => string): Described {
  const { name, setting } = settingOf(given, field)
  return {
    name,
    part: field.slice,
    value: setting ? redact(name, setting.value.trim()) : (field.meta.shown ?? ''),
    origin: setting?.origin ?? { kind: 'default' },
    doc: field.meta.doc,
    secret: field.meta.secret ?? false,
  }
}

/** `NAME=value  # origin`, the documentation above it; a blank line between parts. `onlySet`: without the defaults. */
export function renderDescribed(rows: readonly Described[], { onlySet = false } = {}): string {
  const shown = rows.filter((one) => !onlySet || one.origin.kind !== 'default')
  const lines = shown.flatMap((one, at) => [
    ...(at > 0 && shown[at - 1]?.part !== one.part ? [''] : []),
    `# ${one.doc}`,
    `${one.name}=${one.value}  (${renderOrigin(one.origin)})`,
  ])
  return lines.length > 0 ? `${lines.join('\n')}\n` : ''
}
