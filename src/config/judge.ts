// From the variables that are set to a configuration, or to everything that is wrong with them. Pure.
import { crossChecks, type Checked } from './cross-checks.ts'
import { pickEngineEnv } from './engine-env.ts'
import { type Field, fields, type SliceName } from './field-table.ts'
import { type Findings, renderOrigin } from './finding.ts'
import type { Given, Setting } from './given.ts'
import { isOurs, pickNearest } from './names.ts'
import { renderJsonPath } from './registration-json.ts'
import { type Config, type Settings, slices } from './schema.ts'
import { unusedVariables } from './unused-variables.ts'

export type Judged = Findings & {
  /** Absent where there are problems. */
  config?: Config
}

export function judgeGiven(given: Given): Judged {
  const { settings, bad, findings } = parseSlices(given)
  findings.problems.push(...judgeAliases(given), ...judgeEncoding(given))
  findings.warnings.push(...judgeUnused(given), ...judgeUnknown(given))
  for (const one of crossChecks.flatMap((check) => [...check({ settings, given })])) report(one, bad, given, findings)
  return findings.problems.length > 0
    ? findings
    : { ...findings, config: { ...settings, engineEnv: pickEngineEnv(given) } }
}

/** The name, of a field's names, that is set: what messages and origins are about. */
export function settingOf(given: Given, field: Field): { name: string; setting?: Setting } {
  for (const name of field.names) {
    const setting = given.get(name)
    if (setting) return { name, setting }
  }
  return { name: field.meta.env }
}

type Parsed = { settings: Settings; bad: Set<string>; findings: Findings }

/** A field that is wrong counts as not set, so that the others can still be looked at: all problems at once. */
function parseSlices(given: Given): Parsed {
  const findings: Findings = { problems: [], warnings: [] }
  const bad = new Set<string>()
  const parse = (slice: SliceName) => {
    const own = fields.filter((one) => one.slice === slice)
    const raw = Object.fromEntries(own.map((one) => [one.key, settingOf(given, one).setting?.value]))
    const first = slices[slice].safeParse(raw)
    if (first.success) return first.data
    for (const issue of first.error.issues) {
      const key = String(issue.path[0])
      const field = own.find((one) => one.key === key)
      if (!field) continue
      const { name, setting } = settingOf(given, field)
      for (const one of field.names) bad.add(one)
      const place = renderJsonPath(issue.path.slice(1))
      const variable = place === '' ? name : `${name} ${place}`
      findings.problems.push({ variable, where: renderOrigin(setting?.origin), message: issue.message })
      raw[key] = undefined
    }
    return slices[slice].parse(raw)
  }
  const names = Object.keys(slices) as SliceName[]
  return { settings: Object.fromEntries(names.map((one) => [one, parse(one)])) as Settings, bad, findings }
}

/** What a check says of a variable whose value could not be read is a guess: left out. */
function report(one: Checked, bad: ReadonlySet<string>, given: Given, findings: Findings): void {
  if ([one.variable, ...(one.about ?? [])].some((name) => bad.has(name))) return
  const field = fields.find(({ names }) => names.includes(one.variable))
  const { name, setting } = field ? settingOf(given, field) : { name: one.variable, setting: given.get(one.variable) }
  const finding = { variable: name, where: renderOrigin(setting?.origin), message: one.message }
  findings[one.severity === 'problem' ? 'problems' : 'warnings'].push(finding)
}

/** Two names of one thing that say different things: nobody can know which is meant. */
function judgeAliases(given: Given): Findings['problems'] {
  return fields.flatMap((field) => {
    const [first, ...others] = field.names.filter((name) => given.has(name))
    if (first === undefined) return []
    const main = given.get(first) as Setting
    return others.flatMap((name) => {
      const other = given.get(name) as Setting
      if (other.value.trim() === main.value.trim()) return []
      const values = field.meta.secret ? 'another value' : `"${other.value}"`
      const message = `is ${values}, while ${first} (${renderOrigin(main.origin)}), another name of the same, is not; set one of them`
      return [{ variable: name, where: renderOrigin(other.origin), message }]
    })
  })
}

function judgeEncoding(given: Given): Findings['problems'] {
  return [...given]
    .filter(([name, { value }]) => value.includes('\uFFFD') && isOurs(name))
    .map(([variable, { origin }]) => ({
      variable,
      where: renderOrigin(origin),
      message: 'has bytes that are not UTF-8; save the file as UTF-8',
    }))
}

function judgeUnused(given: Given): Findings['warnings'] {
  return Object.entries(unusedVariables).flatMap(([variable, { why, warns }]) => {
    const setting = given.get(variable)
    if (!setting || !warns?.(setting.value)) return []
    return [{ variable, where: renderOrigin(setting.origin), message: `is not used: ${why}` }]
  })
}

function judgeUnknown(given: Given): Findings['warnings'] {
  return [...given].flatMap(([variable, { origin }]) => {
    const nearest = pickNearest(variable, origin.kind === 'file' ? 'file' : 'environment')
    if (!nearest) return []
    const message = `is unknown and does nothing; the nearest known name is ${nearest}`
    return [{ variable, where: renderOrigin(origin), message }]
  })
}
