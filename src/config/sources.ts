// Where variables come from, lowest first: built-in defaults (in the schema) < the env file < its drop-ins in order of name
// < the process environment. Files are text, never executed. An empty value is the same as none.
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { engineVariable } from './engine-env.ts'
import { parseEnvFile } from './env-file.ts'
import { type Finding, type Findings, renderOrigin } from './finding.ts'
import type { Given, Setting } from './given.ts'
import { isOurs } from './names.ts'
import { type EnvText, readEnvText } from './read-env-file.ts'

export type ConfigPlaces = {
  /** The env file. */
  file: string
  /** Its drop-ins: `*.env` in here. */
  folder: string
  environment: Readonly<Record<string, string | undefined>>
}

export type Sources = {
  given: Given
  /** Unreadable and half written files; lines that differ between readers. */
  findings: Findings
  /** Whether the env file itself is there with at least one variable. */
  hasFile: boolean
  /** Changes when any of the files does. */
  fingerprint: string
}

export const defaultEnvFile = '/etc/gonka-container.env'

/** GONKA_ENV_FILE in the environment names another env file. */
export function pickPlaces(environment: ConfigPlaces['environment']): ConfigPlaces {
  const file = environment['GONKA_ENV_FILE']?.trim() || defaultEnvFile
  return { file, folder: `${file}.d`, environment }
}

export async function readSources(places: ConfigPlaces): Promise<Sources> {
  const files = await readFiles(places)
  const findings: Findings = { problems: files.flatMap(judgeFile), warnings: [] }
  const given = new Map<string, Setting>()
  let hasFile = false
  for (const { path, found } of files) {
    if (found.kind !== 'text') continue
    const parsed = parseEnvFile(found.text)
    if (path === places.file) hasFile = parsed.variables.size > 0 || parsed.problems.length > 0
    findings.problems.push(...parsed.problems.map((one) => toFinding(path, one)))
    findings.warnings.push(...parsed.warnings.map((one) => toFinding(path, one)))
    for (const [name, { value, line }] of parsed.variables)
      findings.warnings.push(...put(given, name, { value, origin: { kind: 'file', path, line } }))
  }
  for (const [name, value] of Object.entries(places.environment))
    if (value && (isOurs(name) || engineVariable(name))) put(given, name, { value, origin: { kind: 'environment' } })
  return { given, findings, hasFile, fingerprint: printOf(files) }
}

/** For noticing a change: the same as `readSources(places).fingerprint`, without parsing. */
export async function readFingerprint(places: Pick<ConfigPlaces, 'file' | 'folder'>): Promise<string> {
  return printOf(await readFiles(places))
}

type Found = { path: string; found: EnvText }

async function readFiles({ file, folder }: Pick<ConfigPlaces, 'file' | 'folder'>): Promise<Found[]> {
  const dropIns = await listDropIns(folder)
  const paths = [file, ...(dropIns.kind === 'names' ? dropIns.names.map((name) => join(folder, name)) : [])]
  const files = await Promise.all(paths.map(async (path) => ({ path, found: await readEnvText(path) })))
  return dropIns.kind === 'unreadable' ? [...files, { path: folder, found: { ...dropIns, print: dropIns.why } }] : files
}

async function listDropIns(
  folder: string,
): Promise<{ kind: 'names'; names: string[] } | { kind: 'unreadable'; why: string; forbidden: boolean }> {
  try {
    const names = await readdir(folder)
    // Byte order, as everything that reads a .d folder has it; editors' backups end otherwise or begin with a dot.
    return { kind: 'names', names: names.filter((name) => /^[^.].*\.env$/.test(name)).sort() }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'names', names: [] }
    const why = `cannot be read: ${messageOf(error)}; make it root:gonka with mode 0750`
    return { kind: 'unreadable', why, forbidden: code === 'EACCES' }
  }
}

function judgeFile({ path, found }: Found): Finding[] {
  if (found.kind !== 'unreadable') return []
  return [{ where: path, message: found.why, code: found.forbidden ? 'config-forbidden' : 'config-unreadable' }]
}

function put(given: Map<string, Setting>, name: string, setting: Setting): Finding[] {
  const value = setting.value.trim()
  const lower = given.get(name)
  if (value !== '') {
    given.set(name, setting)
    return []
  }
  if (!lower || !isOurs(name)) return []
  const message = `is empty, which is the same as not set; to switch off that of ${renderOrigin(lower.origin)}, remove it there`
  return [{ variable: name, where: renderOrigin(setting.origin), message }]
}

function toFinding(
  path: string,
  { line, variable, message }: { line: number; variable?: string; message: string },
): Finding {
  return { ...(variable && { variable }), where: `${path}:${line}`, message }
}

function printOf(files: readonly Found[]): string {
  const hash = createHash('sha256')
  for (const { path, found } of files) hash.update(`${path}\0${found.print}\0`)
  return hash.digest('hex')
}
