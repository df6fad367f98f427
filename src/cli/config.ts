// `gonka-node config`: what is in force and where it comes from; `config check FILE` tries a file before it is put in place.
import { describeConfig, renderDescribed } from '../config/describe.ts'
import { renderFinding } from '../config/finding.ts'
import { loadOrLastGood, type Startable } from '../config/last-good.ts'
import { loadConfig } from '../config/load.ts'
import { pickPlaces } from '../config/sources.ts'
import { UsageError, exits, type Output, type Verb } from './verb.ts'

export const config: Verb = {
  usage: '[check [FILE]] [--set] [--json]',
  summary: 'prints every value in force, where it comes from and what it means; `check FILE` tries a file',
  help: `check [FILE]  reads FILE (default: the env file) and its folder FILE.d alone, prints all problems; exit 0 or 78
--set         only what is set somewhere, without defaults
--json        one line of JSON, for programs

Secrets are never printed. The values are those that a daemon started now would have.`,
  options: { set: { type: 'boolean' }, json: { type: 'boolean' } },
  words: ['check'],
  positionals: 2,
  async run({ positionals, flags, out }) {
    const [order, file] = positionals
    if (order === undefined) return show(await loadOrLastGood(pickPlaces(process.env), undefined, false), flags, out)
    if (order !== 'check') throw new UsageError(`"${order}" is unknown; write check FILE`)
    return check(file, flags, out)
  },
}

function show(loaded: Startable, flags: Record<string, unknown>, out: Output): number {
  const rows = describeConfig(loaded.given)
  if (flags['json']) out.write(`${JSON.stringify({ kind: loaded.kind, values: rows, ...findingsOf(loaded) })}\n`)
  else {
    if (loaded.kind === 'missing') out.complain(`${loaded.path} is missing: these are the defaults`)
    if (loaded.kind === 'last-good')
      out.complain(
        `the configuration is bad; a daemon started now runs on the last good one of ${loaded.savedAt.toISOString()}:`,
      )
    out.write(renderDescribed(rows, { onlySet: flags['set'] === true }))
    complain(loaded, out)
  }
  return loaded.kind === 'bad' || loaded.kind === 'last-good' ? exits.configuration : exits.ok
}

/** The environment of this shell is not that of the daemon: a check looks at the file alone. */
async function check(file: string | undefined, flags: Record<string, unknown>, out: Output): Promise<number> {
  const places = pickPlaces(process.env)
  const loaded = await loadConfig(
    file === undefined ? { ...places, environment: {} } : { file, folder: `${file}.d`, environment: {} },
  )
  if (flags['json'])
    out.write(`${JSON.stringify({ kind: loaded.kind, file: loaded.places.file, ...findingsOf(loaded) })}\n`)
  else {
    complain(loaded, out)
    if (loaded.kind === 'ok') out.write(`${loaded.places.file}: fine, ${loaded.given.size} variables\n`)
    if (loaded.kind === 'missing') out.complain(`error: ${loaded.path}: is missing or empty; write it`)
  }
  return loaded.kind === 'ok' ? exits.ok : exits.configuration
}

const findingsOf = (loaded: Startable) => ({
  problems: ('problems' in loaded ? loaded.problems : []).map(renderFinding),
  warnings: loaded.warnings.map(renderFinding),
})

function complain(loaded: Startable, out: Output): void {
  const { problems, warnings } = findingsOf(loaded)
  for (const one of problems) out.complain(`error: ${one}`)
  for (const one of warnings) out.complain(`warning: ${one}`)
}
