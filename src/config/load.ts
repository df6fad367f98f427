// The configuration of this process, or everything that is wrong with it. The one door to env files and process.env.
import type { Finding, Origin } from './finding.ts'
import { fields } from './field-table.ts'
import type { Given } from './given.ts'
import { judgeGiven, settingOf } from './judge.ts'
import type { Config } from './schema.ts'
import { secretsOfGiven } from './secrets-of.ts'
import { type ConfigPlaces, pickPlaces, readSources, type Sources } from './sources.ts'

/** By variable name, every field: where its value comes from. */
export type Origins = ReadonlyMap<string, Origin>

export type Common = {
  places: ConfigPlaces
  warnings: readonly Finding[]
  given: Given
  /** For the redactor, also where the configuration is bad. */
  secrets: readonly string[]
  /** Of the files as they were read: what a watch compares with. */
  fingerprint: string
}

export type Loaded = Common &
  (
    | { kind: 'ok'; config: Config; origins: Origins }
    | { kind: 'bad'; problems: readonly Finding[] }
    /** No env file (or an empty one, which somebody is about to write), and nothing said elsewhere. */
    | { kind: 'missing'; path: string }
  )

/** Reads files and environment anew. Never throws: whatever is wrong is in the answer. */
export async function loadConfig(places: ConfigPlaces = pickPlaces(process.env)): Promise<Loaded> {
  return judgeSources(places, await readSources(places))
}

function judgeSources(places: ConfigPlaces, sources: Sources): Loaded {
  const { given, findings, fingerprint } = sources
  const judged = judgeGiven(given)
  const warnings = [...findings.warnings, ...judged.warnings]
  const problems = [...findings.problems, ...judged.problems]
  const common = { places, warnings, given, secrets: secretsOfGiven(given), fingerprint }
  if (isMissing(sources)) return { ...common, kind: 'missing', path: places.file }
  if (problems.length > 0 || !judged.config) return { ...common, kind: 'bad', problems }
  return { ...common, kind: 'ok', config: judged.config, origins: originsOf(given) }
}

export function originsOf(given: Given): Origins {
  return new Map(
    fields.map((field) => [field.meta.env, settingOf(given, field).setting?.origin ?? { kind: 'default' }]),
  )
}

/** What makes a node. An image's drop-ins may set paths long before user-data says who the node is. */
const telling = [
  'API_NODES',
  'API_NODE',
  'CLIENT_ID',
  'MODEL_NAME',
  'MODEL_ID',
  'REGISTRATION_JSON',
  'FRP_SERVERS',
  'FRP_SERVER',
]

function isMissing({ hasFile, given, findings }: Sources): boolean {
  return !hasFile && findings.problems.length === 0 && !telling.some((name) => given.has(name))
}
